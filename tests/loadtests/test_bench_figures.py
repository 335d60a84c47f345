"""What the benchmark makes of what was measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ekiben.experiments.assignment import bucket_ranges, choose_variation, hash_v2
from loadtests.bench.checks.check import Case, router_faults
from loadtests.bench.checks.counters import read_counters
from loadtests.bench.costs.against import median_interval
from loadtests.bench.document import EXPERIMENT, VARIANTS
from loadtests.bench.errors import BenchError
from loadtests.bench.figures import DIRECT, EMPTY, NAMES, REPEATS, UNCACHED, figures
from loadtests.bench.measure import Cell, Effort, Target, faults
from loadtests.bench.memory import Memory, thinned
from loadtests.bench.peers.report import PeersRun, rows
from loadtests.bench.section import markdown_table, put_section
from loadtests.bench.streams import Stream
from loadtests.bench.wrk import Round, read_output

OUTPUT = """Running 1s test @ http://127.0.0.1:1
  1 threads and 64 connections
BENCH {"requests": 3000, "duration_us": 1500000, "bytes": 1200000, "p50_us": 4100, \
"p99_us": 15250, "connect": 1, "read": 2, "write": 0, "status": 3, "timeout": 0}
"""


def measured(per_second: float, p50_ms: float = 1.0, p99_ms: float = 2.0, errors: int = 0) -> Round:
    return Round(int(per_second), 1.0, int(per_second) * 400, p50_ms, p99_ms, errors)


def cell(*rounds: Round) -> Cell:
    return Cell(rounds, ())


def test_wrks_output_is_read_in_requests_milliseconds_and_errors() -> None:
    one = read_output(OUTPUT)
    assert (one.per_second, one.p50_ms, one.p99_ms, one.errors) == (2000.0, 4.1, 15.25, 6)
    assert one.bytes_each == 400


def test_wrk_that_could_not_run_is_told_in_its_own_words() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        read_output("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_a_cell_is_the_median_of_its_rounds() -> None:
    one = cell(measured(100, 1, 9), measured(300, 3, 7), measured(200, 2, 8, errors=2))
    assert (one.per_second, one.p50_ms, one.p99_ms, one.errors, one.requests) == (200, 2, 8, 2, 600)


def table(**per_second_at_64: float) -> dict[tuple[str, int], Cell]:
    usual = {DIRECT: 1_000.0, UNCACHED: 8_000.0, REPEATS: 20_000.0, EMPTY: 36_000.0} | per_second_at_64
    p50 = {DIRECT: 30.0, UNCACHED: 6.0, REPEATS: 2.0, EMPTY: 1.0}
    found = {(name, 64): cell(measured(usual[name], p50[name], 2 * p50[name])) for name in NAMES}
    found |= {(name, 256): found[name, 64] for name in NAMES}
    lone = {DIRECT: 1.4, UNCACHED: 1.5, REPEATS: 0.2, EMPTY: 0.1}
    return found | {(name, 1): cell(measured(700, lone[name])) for name in NAMES}


def missed(**per_second_at_64: float) -> list[str]:
    return [figure.name for figure in figures(table(**per_second_at_64), None) if not figure.holds]


def test_every_promise_holds_where_every_figure_is_good() -> None:
    assert missed() == []


def test_a_promise_is_missed_where_its_ratio_is_too_small() -> None:
    assert missed(**{EMPTY: 41_000.0}) == ["repeats, 64 clients, against the empty app"]
    assert missed(**{UNCACHED: 4_900.0}) == [
        "uncached, 64 clients, against direct",
        "uncached, 256 clients, against direct",
    ]


def test_sides_are_compared_round_by_round_since_a_machine_has_slow_phases() -> None:
    """A phase at half the speed begins between two sides: their medians are of different rounds."""
    phases = table() | {
        (REPEATS, 64): cell(measured(20_000), measured(9_500), measured(10_000)),
        (EMPTY, 64): cell(measured(36_000), measured(18_000), measured(36_000)),
        (DIRECT, 64): cell(*[measured(700, 30.0)] * 3),
        (UNCACHED, 64): cell(*[measured(8_000, 6.0)] * 3),
        (UNCACHED, 1): cell(measured(700, 1.2), measured(400, 2.3), measured(400, 2.4)),
        (DIRECT, 1): cell(measured(700, 1.1), measured(400, 2.2), measured(700, 1.1)),
    }
    found = {figure.name: figure for figure in figures(phases, None)}
    ratio = found["repeats, 64 clients, against the empty app"]
    more = found["1 client, uncached: p50, against direct's"]
    assert (ratio.holds, ratio.measured) == (True, "0.53 \N{MULTIPLICATION SIGN} (0.28 to 0.56)")
    assert (more.holds, more.measured) == (True, "+0.10 ms (+0.10 to +1.30; 2.30 ms)")
    assert all(figure.holds for figure in found.values())


def test_a_latency_that_is_longer_in_most_rounds_misses_its_promise() -> None:
    late = table() | {
        (UNCACHED, 1): cell(measured(700, 1.5), measured(700, 1.5), measured(700, 1.2)),
        (DIRECT, 1): cell(*[measured(700, 1.1)] * 3),
    }
    assert [f.name for f in figures(late, None) if not f.holds] == [
        "1 client, uncached: p50, against direct's"
    ]


def test_a_round_with_problems_misses_the_promise_of_no_errors() -> None:
    worse = table() | {(UNCACHED, 256): Cell((measured(8_000),), ("12 were fallback",))}
    names = [figure.name for figure in figures(worse, None) if not figure.holds]
    assert names == ["uncached, 256 clients: responses but 200"]


def test_memory_that_still_grows_in_the_last_half_is_not_flat() -> None:
    flat = Memory(tuple((n * 10_000, min(120.0, 80.0 + n)) for n in range(101)), 0)
    assert (flat.highest_mib, flat.growth_mib) == (120.0, 0.0)
    leaking = Memory(tuple((n * 10_000, 80.0 + n) for n in range(101)), 0)
    assert leaking.growth_mib == pytest.approx(40.0)
    assert [f.holds for f in figures(table(), leaking)[-2:]] == [True, False]


def test_memory_after_fewer_requests_than_promised_does_not_hold() -> None:
    short = Memory(tuple((n * 1_000, 80.0) for n in range(101)), 0)
    assert [f.holds for f in figures(table(), short)[-2:]] == [False, False]


def test_a_thinned_series_keeps_its_ends() -> None:
    series = [(n, float(n)) for n in range(100)]
    assert thinned(series, 11)[0] == series[0]
    assert thinned(series, 11)[-1] == series[-1]
    assert len(thinned(series, 11)) == 11


METRICS = """# TYPE ekiben_requests_total counter
ekiben_requests_total{model="credit",result="served",version="v1"} 40.0
ekiben_requests_total{model="credit",result="served",version="v2"} 50.0
ekiben_requests_total{model="credit",result="fallback",version="v2"} 3.0
# TYPE ekiben_events_sent_total counter
ekiben_events_sent_total 93.0
"""


def test_the_routers_counters_are_summed_by_result() -> None:
    counted = read_counters(METRICS)
    assert (counted["served"], counted["fallback"], counted["events"]) == (90, 3, 93)


async def _nothing() -> Counter[str]:
    return Counter()


ROUTER = Target("router", "http://h", Stream(Path("x"), repeats=False), 400.0, _nothing, "served")


def test_a_round_that_all_answered_well_has_no_faults() -> None:
    assert faults(ROUTER, measured(1_000), Counter(served=1_040), clients=64) == []


@pytest.mark.parametrize(
    ("one", "counted", "words"),
    [
        (measured(1_000, errors=2), Counter(served=1_000), "2 of 1000 responses were errors"),
        (measured(1_000), Counter(served=990, fallback=10), "10 were fallback"),
        (measured(1_000), Counter(served=900, cached=100), "900 of 1000 were served"),
        (Round(1_000, 1.0, 90_000, 1, 1, 0), Counter(served=1_000), "90 bytes"),
    ],
)
def test_what_does_not_count_is_said(one: Round, counted: Counter[str], words: str) -> None:
    assert any(words in fault for fault in faults(ROUTER, one, counted, clients=64))


def test_repeats_whose_answers_expire_are_served_once_more_each_with_all_who_wait() -> None:
    repeats = replace(ROUTER, stream=Stream(Path("x"), repeats=True), expect="cached")
    one = measured(40_592)
    assert faults(repeats, one, Counter(cached=39_516, served=1_076), clients=256) == []
    assert faults(repeats, one, Counter(cached=39_000, served=1_592), clients=256) == [
        "39000 of 40592 were cached"
    ]


def good_answer(case: Case) -> dict[str, object]:
    bucket = hash_v2(EXPERIMENT, f"u-{case.number}")
    variant, version = VARIANTS[choose_variation(bucket, bucket_ranges(2, 1.0))]
    return {
        "prediction": case.expected[version],
        "version": version,
        "variant": variant,
        "experiment": EXPERIMENT,
        "request_id": "r",
        "cached": False,
    }


CASE = Case(9_000_001, {}, {"v1": {"probability_bad": 0.1}, "v2": {"probability_bad": 0.2}})


def test_a_right_answer_has_no_faults() -> None:
    assert router_faults(CASE, "r", False, 200, "r", good_answer(CASE)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"prediction": {"probability_bad": 0.3}},
        {"request_id": "another's"},
        {"fallback_from": "v2"},
        {"cached": True},
        {"version": "v9"},
    ],
)
def test_an_answer_that_is_somebody_elses_is_a_fault(change: dict[str, object]) -> None:
    assert router_faults(CASE, "r", False, 200, "r", good_answer(CASE) | change)


def test_an_answer_that_is_no_200_is_a_fault() -> None:
    assert router_faults(CASE, "r", False, 503, "r", {"title": "Service Unavailable"})


def test_a_section_is_replaced_between_its_markers_and_nothing_else_is() -> None:
    page = "# B\n\n<!-- a:begin -->\nold\n<!-- a:end -->\n\n<!-- b:begin -->\nkept\n<!-- b:end -->\n"
    new = put_section(page, "a", "new\n")
    assert new == page.replace("old", "new")
    assert put_section(new, "a", "new") == new


def test_a_section_that_is_not_there_goes_to_the_end() -> None:
    page = put_section("# B\n", "bench", "text")
    assert page == "# B\n\n<!-- bench:begin -->\ntext\n<!-- bench:end -->\n"


def test_a_markdown_table_sets_its_numbers_to_the_right() -> None:
    assert markdown_table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_a_peer_that_is_not_there_is_a_row_that_says_why() -> None:
    run = PeersRun(
        table={("direct", n): cell(measured(1_000, 3, 9)) for n in (1, 64)}
        | {("mirror", n): Cell((measured(500, errors=5),), (), {"copies": 490}) for n in (1, 64)},
        names=["direct", "mirror", "other"],
        mirrors=["mirror"],
        absent={"other": "cannot be installed: no such package"},
        clients=(1, 64),
        effort=Effort(1, 1, 0),
        version="v1",
        load="",
        took_s=1.0,
    )
    assert rows(run) == [
        ["direct", "1,000 · 3.0/9", "1,000 · 3.0/9", "1.00", "", "0"],
        ["mirror", "500 · 1.0/2", "500 · 1.0/2", "0.50", "98%", "1.0%"],
        ["other", "cannot be installed: no such package", "", "", "", ""],
    ]


def test_the_interval_of_a_median_leaves_out_what_nineteen_of_twenty_samples_allow() -> None:
    # Of 9 values the second and the eighth hold the median with 1 - 2 (1 + 9) / 512 = 96.1 %.
    assert median_interval([9, 1, 8, 2, 7, 3, 6, 4, 5]) == (2, 8)
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == (1.0, 6.0)
    with pytest.raises(BenchError, match="take 6 at least"):
        median_interval([1.0] * 5)
