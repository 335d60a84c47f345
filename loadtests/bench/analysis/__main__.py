"""What a report costs: `make bench-analysis`.

1. The first report of an experiment over 10,000,000 exposures and 2,000,000 outcomes of 1,000,000 users, and
   over a tenth of that: everything is read.
2. Reports after 1 % more events, of what the first one has kept.
3. Over 200,000,000 exposures of 10,000,000 users, taken in before, reports after 100,000 new events.

Each is made in a child process of its own, and the last report of each is compared with one from scratch.
Writes its section of docs/benchmarks.md and exits with 1 when a figure does not hold. `--quick` takes a
hundredth of everything, and only prints.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final

from loadtests.bench.analysis.data import DAYS, START, Size, files_of, make
from loadtests.bench.document import EXPERIMENT, document
from loadtests.bench.figures import Figure, figures_table
from loadtests.bench.machine import describe_machine, describe_versions, others_load, revision, today
from loadtests.bench.section import markdown_table, write_section

FULL: Final = Size(10_000_000, 2_000_000, 1_000_000, 120_000)
TENTH: Final = Size(1_000_000, 200_000, 100_000)
LARGE: Final = Size(200_000_000, 40_000_000, 10_000_000, 100_000)
FOLDER: Final = Path(".ekiben/bench/events")
CORES: Final = 2
ROUNDS: Final = 5
_LIMIT_S: Final = 7200.0
MOST_FIRST_S: Final = 8.0
MOST_AFTER_S: Final = 0.8
MOST_LARGE_S: Final = 3.0
MOST_MIB: Final = 2048.0
PACKAGES: Final = ("duckdb", "ibis-framework", "tea-tasting", "pyarrow")

METRICS: Final[list[dict[str, Any]]] = [
    {"name": "profit", "outcome": "profit", "kind": "mean", "covariate": "profit"},
    {"name": "bought", "outcome": "orders", "kind": "proportion", "window_hours": 72},
    {"name": "profit per order", "outcome": "profit", "kind": "ratio", "denominator": "orders"},
    {
        "name": "complaints",
        "outcome": "complaint",
        "kind": "mean",
        "better": "lower",
        "guardrail": {"max_worse": 0.1},
    },
    {"name": "good", "outcome": "good", "kind": "label", "window_hours": 72},
]
"""One of each kind: with the three of requests, eight metrics."""
SEGMENTS: Final = ("country", "plan")

Found = dict[str, Any]


class Reports:
    """Reports of the events in `folder`, at the end of them, in this process."""

    def __init__(self, folder: Path, kept: Path) -> None:
        from ekiben.control.analysis.analysing import Analyses
        from ekiben.control.recording.files import EventFiles
        from ekiben.experiments.parsing import parse_document
        from ekiben.state.documents.document import Stored

        urls = {"v1": "http://v1:1", "v2": "http://v2:1"}
        parsed = parse_document(document(urls, metrics=METRICS, segments=SEGMENTS))
        self._stored = Stored("bench", 1, "", parsed)
        self._analyses = Analyses(EventFiles(str(folder)), kept)
        self._asked = EXPERIMENT, self._stored, START + (DAYS + 1) * 86_400
        self._seconds: list[float] = []
        self._cpu_s: list[float] = []

    def make(self) -> None:
        """One more report, from listing the files to the verdict."""
        begun, used = time.perf_counter(), time.process_time()
        self.last = self._analyses.report(*self._asked)
        self._seconds.append(time.perf_counter() - begun)
        self._cpu_s.append(time.process_time() - used)

    def let_go(self) -> None:
        """Keep nothing: the next report is a first one."""
        self._analyses.let_go()

    def found(self) -> Found:
        """Seconds of each report and the process's peak memory, before anything is compared."""
        metrics = self.last.metrics
        return {
            "seconds": self._seconds,
            "cpu_s": min(self._cpu_s),
            "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "metrics": len(metrics),
            "points": sum(len(points) for metric in metrics for points in metric.series.values()),
            "labels": sum(each.labels for metric in metrics for each in metric.labels),
            "kept_mib": 0.0,
        }

    def differences(self) -> list[str]:
        """Where the last report differs from one that is computed from all events."""
        from ekiben.control.analysis.agreement import differences

        return differences(self.last, self._analyses.from_scratch(*self._asked))


def first_reports(folder: Path, kept: Path) -> Found:
    """In a child: reports of which each is the first."""
    reports = Reports(folder, kept)
    for _ in range(ROUNDS):
        reports.let_go()
        reports.make()
    return reports.found() | {"differences": reports.differences()}


def take_in(folder: Path, kept: Path) -> Found:
    """In a child: one report, which leaves what is kept."""
    reports = Reports(folder, kept)
    reports.make()
    return reports.found()


def later_reports(folder: Path, kept: Path) -> Found:
    """In a child: a report after each batch of later events has come. What was kept is kept."""
    reports = Reports(folder, kept)
    for batch in range(ROUNDS):
        _link(folder.with_name(f"later-{batch}"), folder)
        reports.make()
    size = sum(each.stat().st_size for each in kept.iterdir()) / 2**20
    return reports.found() | {"differences": reports.differences(), "kept_mib": size}


def in_a_child(measure: Callable[[Path, Path], Found], folder: Path, kept: Path) -> Found:
    """`measure` in a process of its own, held to two cores."""
    with ProcessPoolExecutor(1, get_context("spawn"), _hold_to_two_cores) as child:
        return child.submit(measure, folder, kept).result(_LIMIT_S)


def of_size(size: Size) -> list[Found]:
    """What is found of a size: of first reports, and of later ones where there are later events."""
    sys.stdout.write(f"{size.exposures:,} exposures, {size.outcomes:,} outcomes\n")
    sys.stdout.flush()
    made = make(size, FOLDER, ROUNDS)
    folder, kept = made / "measured", made / "kept"
    for each in (folder, kept):
        shutil.rmtree(each, ignore_errors=True)
    _link(made / "first", folder)
    large = size.exposures > FULL.exposures
    found = [in_a_child(take_in if large else first_reports, folder, kept)]
    if size.later:
        found.append(in_a_child(later_reports, folder, kept))
    shutil.rmtree(kept)
    return found


def _link(source: Path, target: Path) -> None:
    for file in files_of(source):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        os.link(source / file, target / file)


def _hold_to_two_cores() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def section(rows: list[tuple[str, Size, Found]], promised: list[Figure]) -> str:
    """The section of docs/benchmarks.md."""
    table = markdown_table(
        [
            "report",
            "exposures",
            "outcomes",
            "users",
            "median s",
            "fastest s",
            "slowest s",
            "CPU s",
            "peak MiB",
        ],
        [
            [
                what,
                f"{size.exposures:,}",
                f"{size.outcomes:,}",
                f"{size.users:,}",
                f"{median(each['seconds']):.2f}",
                f"{min(each['seconds']):.2f}",
                f"{max(each['seconds']):.2f}",
                f"{each['cpu_s']:.2f}",
                f"{each['mib']:.0f}",
            ]
            for what, size, each in rows
        ],
        numbers_from=1,
    )
    full, large = rows[0][2], rows[-1][2]
    return f"""## A report (`make bench-analysis`)

{today()}, revision {revision()}. {describe_machine()}, {others_load()}. {describe_versions(PACKAGES)}.

It is the full report of an experiment, with {full["metrics"]} metrics (a mean with a covariate, a
proportion, a ratio, a guardrail, a label with ROC AUC and calibration, the three of requests),
{full["points"]} points of series, {full["labels"]:,} labels, effects by two attributes of users, the split,
who was left out, and the verdict. Events are Parquet files as the recorder writes them, a file a day, made by
`loadtests/bench/analysis/data.py`. Reports are made one after the other, each from listing the files to the
verdict, {ROUNDS} of each sort, on {CORES} cores. A first report reads everything, and what it keeps is
removed before the next. Before each later report new events come: 1 % as many as there are, or 100,000. What
{large["labels"]:,} labels and the rest of the largest are kept in takes {large["kept_mib"]:,.0f} MiB of disk.
Peak memory is the process's, Python and libraries included.

{figures_table(promised)}

{table}
"""


def main() -> int:
    """Run it; 0 when everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of everything; only prints")
    quick = parser.parse_args().quick
    full, tenth, large = (_hundredth(size) if quick else size for size in (FULL, TENTH, LARGE))
    first, after = of_size(full)
    (small,) = of_size(tenth)
    taken_in, few = of_size(large)
    same = not any(each["differences"] for each in (first, after, small, few))
    mib = max(each["mib"] for each in (first, after, few))
    promised = [
        _at_most("the first report", first, MOST_FIRST_S),
        _at_most("after 1 % more events", after, MOST_AFTER_S),
        _at_most("of 200 million exposures, after 100,000 events", few, MOST_LARGE_S),
        Figure("peak memory of these", f"{mib:.0f} MiB", f"at most {MOST_MIB:.0f} MiB", mib <= MOST_MIB),
        Figure("the same as from scratch", "yes" if same else "no", "to 1e-9", same),
    ]
    rows = [
        ("first", full, first),
        ("first", tenth, small),
        ("after 1 % more", full, after),
        ("taking in", large, taken_in),
        ("after 100,000 more", large, few),
    ]
    body = section(rows, promised)
    sys.stdout.write(body)
    if quick:
        return 0
    write_section("bench-analysis", body)
    return 0 if all(figure.holds for figure in promised) else 1


def _at_most(name: str, found: Found, most: float) -> Figure:
    seconds = median(found["seconds"])
    return Figure(name, f"{seconds:.2f} s", f"at most {most:g} s", seconds <= most)


def _hundredth(size: Size) -> Size:
    return Size(*(each // 100 for each in (size.exposures, size.outcomes, size.users, size.later)))


if __name__ == "__main__":
    sys.exit(main())
