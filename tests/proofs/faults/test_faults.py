"""A short selection of `make faults`: each test breaks one thing under load and judges every response."""

from __future__ import annotations

from dataclasses import replace

from tests.proofs.faults.answered import Expected
from tests.proofs.faults.catalogue import BOTH_LIVE_DEAD, Fault, both
from tests.proofs.faults.load import Load
from tests.proofs.faults.moves import coverage_moved
from tests.proofs.faults.scene import (
    killed,
    misbehaving,
    paused,
    restarted_empty,
    router_told_to_stop,
    worker_killed,
)  # fmt: skip
from tests.proofs.faults.station import EXPERIMENT, Station
from tests.proofs.faults.trial import Row, run_trial

# Slower than in `make faults`: other tests run beside these.
RATE = 80.0


async def run(station: Station, fault: Fault) -> Row:
    """Run the fault; every promise has to hold."""
    row = await run_trial(station, replace(fault, hold_s=min(fault.hold_s, 2.0)), _load(station))
    station.keep = station.keep or bool(row.broken)
    assert not row.broken, f"{row.broken}; logs: {station.logs}"
    assert row.right > 0
    return row


def _load(station: Station) -> Load:
    return Load(station.url, Expected(EXPERIMENT), RATE, timeout_s=station.timeout_s)


async def test_a_killed_treatment_is_stood_in_for_by_live(station: Station) -> None:
    row = await run(station, Fault("treatment", "killed", killed("treatment")))
    assert row.fallback > 0


async def test_a_live_endpoint_that_hangs_costs_nobody_an_answer(station: Station) -> None:
    row = await run(station, Fault("live", "stopped", paused("live-a")))
    assert row.fallback == 0


async def test_a_live_endpoint_that_answers_nonsense_costs_nobody_an_answer(station: Station) -> None:
    await run(station, Fault("live", "nonsense", misbehaving("live-a", "nonsense")))


async def test_a_cache_that_hangs_costs_nobody_an_answer(station: Station) -> None:
    await run(station, Fault("cache", "paused", paused("cache")))


async def test_nobody_moves_when_the_state_is_lost_and_coverage_is_changed(station: Station) -> None:
    fault = both(restarted_empty("state"), coverage_moved(10))
    await run(station, Fault("state", "restarted empty", fault, hold_s=0.0))


async def test_a_killed_worker_takes_only_what_was_inside_it(station: Station) -> None:
    await run(station, Fault("router", "a worker killed", worker_killed))


async def test_a_router_told_to_stop_answers_what_is_in_flight(station: Station) -> None:
    fault = both(misbehaving("treatment", "slow"), router_told_to_stop)
    row = await run(station, Fault("router", "asked to stop", fault, hold_s=0.0, load_ends=True))
    assert row.cut == 0


async def test_where_nothing_is_left_to_answer_there_is_a_problem_within_the_deadline(
    station: Station,
) -> None:
    row = await run(station, Fault("live", "killed", BOTH_LIVE_DEAD, errors=True))
    assert row.problems > 0
