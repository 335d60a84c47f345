"""`make bench-costs-against REVISION=…`: what a request costs now, beside what it cost at another revision.

The two are measured in turn, so that a machine whose speed drifts is the same machine for both. A pair gives
one ratio of CPU seconds a request; of the ratios the median is told, with the interval that holds the median
of all pairs in 95 of 100 cases, whatever their distribution is (order statistics, binomial).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from loadtests.bench.errors import BenchError
from loadtests.bench.machine import describe_machine, others_load, revision, today
from loadtests.bench.section import markdown_table, write_section
from loadtests.bench.stack import DATA_DIR

_SURE: Final = 0.95
Costs = dict[str, float]
"""CPU seconds of a router for one request, by the kind of load."""


def median_interval(ratios: Sequence[float], sure: float = _SURE) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with a probability of `sure` at least.

    Raises `BenchError` where there are too few: five pairs hold it with 93.75 %, six with 96.9 %.
    """
    ordered, count = sorted(ratios), len(ratios)
    found = None
    for left_out in range(count // 2):
        outside = 2 * sum(math.comb(count, k) for k in range(left_out + 1)) / 2**count
        if 1 - outside >= sure:
            found = ordered[left_out], ordered[count - 1 - left_out]
    if found is None:
        raise BenchError(f"{count} pairs are too few for an interval: take 6 at least")
    return found


def main() -> int:
    """Measure the pairs and write their table into docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.against", description=__doc__)
    parser.add_argument("revision", help="the earlier revision, such as a tag or a commit")
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args()
    console = Console()
    load = others_load()
    try:
        pairs = _measure(console, options.revision, options.pairs)
        rows = _rows(pairs)
    except BenchError as error:
        sys.stderr.write(f"bench-costs-against: {error}\n")
        return 1
    header = [
        "router, CPU of a request",
        f"{options.revision}, ms",
        "now, ms",
        "median ratio",
        "95 % interval",
    ]
    table = markdown_table(header, rows)
    console.print(table, soft_wrap=True)
    about = (
        f"{today()}, {describe_machine()}, {revision()} beside {options.revision}; {load}. "
        f"{len(pairs)} pairs, measured in turn."
    )
    write_section(
        "costs-against", f"## What a request costs, beside {options.revision}\n\n{about}\n\n{table}"
    )
    return 0


def _measure(console: Console, earlier: str, count: int) -> list[tuple[Costs, Costs]]:
    pairs = []
    with tempfile.TemporaryDirectory() as folder, Progress(console=console) as progress:
        tree = Path(folder) / "earlier"
        _run(["git", "worktree", "add", "--detach", str(tree), earlier], Path.cwd())
        try:
            task = progress.add_task(f"{count} pairs, {earlier} and now", total=2 * count)
            for _ in range(count):
                sides = []
                for where, options in ((tree, ()), (Path.cwd(), ("--no-page",))):
                    _run([sys.executable, "-m", "loadtests.bench.costs", *options], where)
                    sides.append(_costs(where))
                    progress.advance(task)
                pairs.append((sides[0], sides[1]))
        finally:
            _run(["git", "worktree", "remove", "--force", str(tree)], Path.cwd())
    return pairs


def _run(command: Sequence[str], where: Path) -> None:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command[:3])} in {where} failed: {done.stderr.strip()[-500:]}")


def _costs(where: Path) -> Costs:
    phases = json.loads((where / DATA_DIR / "costs.json").read_text())
    return {name: cpu_s["router"] / count for name, count, cpu_s in phases}


def _rows(pairs: Sequence[tuple[Costs, Costs]]) -> list[list[str]]:
    rows = []
    for name in pairs[0][0]:
        before, now = ([side[name] for side in sides] for sides in zip(*pairs, strict=True))
        ratios = [b / a for a, b in zip(before, now, strict=True)]
        low, high = median_interval(ratios)
        medians = (f"{1000 * statistics.median(side):.4f}" for side in (before, now))
        rows.append([name, *medians, f"{statistics.median(ratios):.3f}", f"{low:.3f} to {high:.3f}"])
    return rows


if __name__ == "__main__":
    sys.exit(main())
