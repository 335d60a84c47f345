"""What a report costs: `make bench-analysis`.

The full report of an experiment over 10,000,000 exposures and 2,000,000 outcomes of 1,000,000 users, and over
a tenth of that, each in a child process of its own. Writes its section of docs/benchmarks.md and exits with 1
when a figure does not hold. `--quick` takes the tenth and a hundredth, and only prints.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, Final

from loadtests.bench.analysis.data import DAYS, START, Size, make
from loadtests.bench.document import EXPERIMENT, document
from loadtests.bench.figures import Figure, figures_table
from loadtests.bench.machine import describe_machine, describe_versions, others_load, revision, today
from loadtests.bench.section import markdown_table, write_section

FULL: Final = Size(10_000_000, 2_000_000, 1_000_000)
TENTH: Final = Size(1_000_000, 200_000, 100_000)
HUNDREDTH: Final = Size(100_000, 20_000, 10_000)
FOLDER: Final = Path(".ekiben/bench/events")
CORES: Final = 2
ROUNDS: Final = 5
_LIMIT_S: Final = 600.0
MOST_S: Final = 5.0
MOST_MIB: Final = 2048.0
LEAST_TIMES_FASTER: Final = 5.0
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


def measure(folder: Path) -> dict[str, Any]:
    """In the child: seconds of each full report, from listing the files on, and the process's peak memory."""
    from ekiben.control.analysis.analysing import Analyses
    from ekiben.control.recording.files import EventFiles
    from ekiben.experiments.parsing import parse_document
    from ekiben.state.documents.document import Stored

    parsed = parse_document(document({"v1": "http://v1:1", "v2": "http://v2:1"}, metrics=METRICS))
    analysis, stored = Analyses(EventFiles(str(folder))), Stored("bench", 1, "", parsed)
    seconds, cpu_s = [], []
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), time.process_time()
        report = analysis.report(EXPERIMENT, stored, START + (DAYS + 1) * 86_400)
        seconds.append(time.perf_counter() - begun)
        cpu_s.append(time.process_time() - used)
    return {
        "seconds": seconds,
        "cpu_s": min(cpu_s),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "metrics": len(report.metrics),
        "points": sum(len(points) for metric in report.metrics for points in metric.series.values()),
        "labels": sum(each.labels for metric in report.metrics for each in metric.labels),
    }


def in_a_child(folder: Path) -> dict[str, Any]:
    """`measure` in a process of its own, held to two cores."""
    with ProcessPoolExecutor(1, get_context("spawn"), _hold_to_two_cores) as child:
        return child.submit(measure, folder).result(_LIMIT_S)


def _hold_to_two_cores() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def section(sizes: list[Size], found: list[dict[str, Any]], promised: list[Figure]) -> str:
    """The section of docs/benchmarks.md."""
    rows = markdown_table(
        ["exposures", "outcomes", "users", "median s", "fastest s", "slowest s", "CPU s", "peak MiB"],
        [
            [
                f"{size.exposures:,}",
                f"{size.outcomes:,}",
                f"{size.users:,}",
                f"{median(each['seconds']):.2f}",
                f"{min(each['seconds']):.2f}",
                f"{max(each['seconds']):.2f}",
                f"{each['cpu_s']:.2f}",
                f"{each['mib']:.0f}",
            ]
            for size, each in zip(sizes, found, strict=True)
        ],
        numbers_from=0,
    )
    full = found[0]
    return f"""## A report (`make bench-analysis`)

{today()}, revision {revision()}. {describe_machine()}, {others_load()}. {describe_versions(PACKAGES)}.

It is the full report of an experiment, with {full["metrics"]} metrics (a mean with a covariate, a
proportion, a ratio, a guardrail, a label with ROC AUC and calibration, the three of requests),
{full["points"]} points of series, {full["labels"]:,} labels, the split, who was left out, and the verdict.
Events are Parquet files as the recorder writes them, a file a day, made by
`loadtests/bench/analysis_data.py`. Each size runs in a process of its own on {CORES} cores. It makes
{ROUNDS} reports one after the other, each from listing the files to the verdict, none remembering anything
of the one before. Peak memory is the process's, Python and libraries included.

{figures_table(promised)}

{rows}
"""


def main() -> int:
    """Run it; 0 when everything holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth and a hundredth; only prints")
    quick = parser.parse_args().quick
    sizes = [TENTH, HUNDREDTH] if quick else [FULL, TENTH]
    folders = []
    for size in sizes:
        sys.stdout.write(f"{size.exposures:,} exposures, {size.outcomes:,} outcomes\n")
        sys.stdout.flush()
        folders.append(make(size, FOLDER))
    found = [in_a_child(folder) for folder in folders]
    large, small = (median(each["seconds"]) for each in found)
    mib, faster = found[0]["mib"], large / small
    promised = [
        Figure("the full report", f"{large:.2f} s", f"at most {MOST_S:g} s", large <= MOST_S),
        Figure("its peak memory", f"{mib:.0f} MiB", f"at most {MOST_MIB:.0f} MiB", mib <= MOST_MIB),
        Figure(
            "with ten times less data",
            f"{faster:.1f} times faster",
            f"at least {LEAST_TIMES_FASTER:g} times",
            faster >= LEAST_TIMES_FASTER,
        ),
    ]
    body = section(sizes, found, promised)
    sys.stdout.write(body)
    if quick:
        return 0
    write_section("bench-analysis", body)
    return 0 if all(figure.holds for figure in promised) else 1


if __name__ == "__main__":
    sys.exit(main())
