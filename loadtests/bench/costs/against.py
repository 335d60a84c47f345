"""`make bench-costs-against REVISION=…`: what a request costs now, beside what it cost at another revision.

Both run at the same time, each in a network of its own, and are loaded in turn for a second at a time,
now the one first and now the other: a machine whose speed drifts is the same machine for both. After 25
pairs both are started again. A pair gives one ratio of CPU seconds a request; of the ratios the median is
reported, with the interval that holds the median of all pairs in 95 of 100 cases, for any distribution
(order statistics, binomial).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from loadtests.bench.errors import BenchError
from loadtests.bench.machine import describe_machine, git, others_load, revision, today
from loadtests.bench.section import markdown_table, write_section
from loadtests.bench.wrk import require_wrk

_SIDE: Final = Path(__file__).with_name("side.py").absolute()
_SURE: Final = 0.95
_PAIRS: Final = 150
# Then both are started again: where its memory lies makes a process quicker or slower as long as it lives.
_A_START: Final = 25
_END_S: Final = 60.0
Costs = dict[str, list[tuple[float, float]]]
"""CPU seconds of one request, earlier and now, a pair after the other, by kind of load and who used them."""
Side = Callable[[str], list[Any]]
"""What it answers to a line; to an empty one, what it says when it is ready. Raises `BenchError`."""
_WHO: Final = ("the router", "router, services, both Redis")


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
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.costs.against", description=__doc__)
    parser.add_argument("revision", help="the earlier revision, such as a tag or a commit")
    parser.add_argument("--pairs", type=int, default=_PAIRS)
    options = parser.parse_args()
    console = Console()
    load = others_load()
    try:
        require_wrk()
        costs = _measure(console, options.revision, options.pairs)
        rows = [_row(name, pairs) for name, pairs in costs.items()]
    except BenchError as error:
        sys.stderr.write(f"bench-costs-against: {error}\n")
        return 1
    header = ["CPU of a request", f"{options.revision}, ms", "now, ms", "median ratio", "95 % interval"]
    table = markdown_table(header, rows)
    console.print(table, soft_wrap=True)
    about = (
        f"{today()}, {describe_machine()}, {revision()} beside {options.revision}, {load}. "
        f"{options.pairs} pairs of a second each, both running, loaded in turn."
    )
    write_section(
        "costs-against", f"## What a request costs, beside {options.revision}\n\n{about}\n\n{table}"
    )
    return 0


@contextmanager
def _side(tree: Path, name: str) -> Iterator[Side]:
    """One of the two, running."""
    # A network of its own: both have the same ports.
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    with subprocess.Popen(  # noqa: S603
        [*command, sys.executable, str(_SIDE)],
        cwd=tree,
        # `ekiben up` starts the router with -P, which would find that of the tree that is installed.
        env={**os.environ, "PYTHONPATH": str(tree.absolute())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def ask(line: str) -> list[Any]:
            if line:
                questions.write(f"{line}\n")
                questions.flush()
            answer = answers.readline()
            if not answer:
                raise BenchError(f"{name} has ended: see what it wrote above")
            return list(json.loads(answer))

        try:
            yield ask
        finally:
            questions.close()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.terminate()


def _each(side: Side, kind: str) -> list[float]:
    """CPU seconds for one request of a phase, of each of `_WHO`. Raises `BenchError`."""
    count, *cpu_s = side(kind)
    return [used / count for used in cpu_s]


def _measure(console: Console, earlier: str, count: int) -> Costs:
    costs: Costs = {}
    with tempfile.TemporaryDirectory() as folder, Progress(console=console) as progress:
        tree = Path(folder) / "earlier"
        git("worktree", "add", "--detach", str(tree), earlier)
        try:
            task = progress.add_task(f"{count} pairs, {earlier} and now", total=count)
            for first in range(0, count, _A_START):
                with _side(tree, earlier) as before, _side(Path.cwd(), "the tree as it is") as now:
                    kinds = before("")
                    now("")
                    for number in range(first, min(first + _A_START, count)):
                        for kind in kinds:
                            in_turn = (before, now) if number % 2 == 0 else (now, before)
                            used = {side: _each(side, kind) for side in in_turn}
                            for who, a, b in zip(_WHO, used[before], used[now], strict=True):
                                costs.setdefault(f"{kind}: {who}", []).append((a, b))
                        progress.advance(task)
        finally:
            git("worktree", "remove", "--force", str(tree))
    return costs


def _row(name: str, pairs: Sequence[tuple[float, float]]) -> list[str]:
    before, now = zip(*pairs, strict=True)
    ratios = [b / a for a, b in pairs]
    low, high = median_interval(ratios)
    medians = (f"{1000 * statistics.median(side):.4f}" for side in (before, now))
    return [name, *medians, f"{statistics.median(ratios):.3f}", f"{low:.3f} to {high:.3f}"]


if __name__ == "__main__":
    sys.exit(main())
