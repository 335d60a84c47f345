"""`make bench`: the router beside the service called directly and beside an empty app, in one run."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from rich.console import Console
from rich.status import Status

from loadtests.bench import figures
from loadtests.bench.checks.check import check_direct, check_router, make_cases
from loadtests.bench.checks.counters import counters
from loadtests.bench.checks.probe import response_size
from loadtests.bench.errors import BenchError
from loadtests.bench.machine import others_load
from loadtests.bench.measure import Effort, Target, measure, problems
from loadtests.bench.memory import Memory, watch_memory
from loadtests.bench.report import Run, section, show
from loadtests.bench.run import run_until_signal
from loadtests.bench.section import PAGE, write_section
from loadtests.bench.stack import Stack, router_process, rss_mib, started
from loadtests.bench.streams import (
    DIRECT,
    HELD_OUT,
    ROUTER,
    Numbers,
    read_rows,
    write_distinct,
    write_repeats,
)
from loadtests.bench.wrk import loaded, require_wrk

CLIENTS: Final = (1, 16, 64, 256)
FULL: Final = Effort(rounds=9, seconds=2, warm_up_s=1)
QUICK: Final = Effort(rounds=2, seconds=1, warm_up_s=1)
# Called directly the two tie: v1 was 6 % faster at 1, 64 and 256 clients, v2 13 % at 16.
DIRECT_VERSION: Final = "v1"
_CHECK_CLIENTS: Final = 64
_CHECK_S: Final = 20
_CASES: Final = 1_000


class Bench:
    """One run, from the started stack to what it found out."""

    def __init__(self, stack: Stack, effort: Effort, status: Status) -> None:
        self._stack = stack
        self._effort = effort
        self._status = status
        self._numbers = Numbers()
        self._rows = read_rows(HELD_OUT)

    async def _counts(self) -> Counter[str]:
        return await counters(self._stack.session, self._stack.router)

    async def targets(self) -> list[Target]:
        """The four, with their streams."""
        stack, rows, folder = self._stack, self._rows, self._stack.data_dir
        distinct = write_distinct(ROUTER, rows, stack.router, folder / "router-distinct.lua")
        repeats = write_repeats(ROUTER, rows, stack.router, folder / "router-repeats.lua")
        direct = write_distinct(DIRECT, rows, stack.direct, folder / "direct-distinct.lua")
        direct_size = await response_size(stack.session, stack.direct, DIRECT, rows[0])
        router_size = await response_size(stack.session, stack.router, ROUTER, rows[0])
        empty_size = await response_size(stack.session, stack.empty, ROUTER, rows[0])
        return [
            Target(figures.DIRECT, stack.direct, direct, direct_size),
            Target(figures.UNCACHED, stack.router, distinct, router_size, self._counts, "served"),
            Target(figures.REPEATS, stack.router, repeats, router_size, self._counts, "cached"),
            Target(figures.EMPTY, stack.empty, repeats, empty_size),
        ]

    async def check(self, targets: Sequence[Target]) -> list[str]:
        """Compare answers under load. Raises BenchError when one is wrong."""
        self._status.update("comparing answers, under load")
        session = self._stack.session
        cases = await make_cases(session, self._stack.services, self._rows, _CASES)
        half = cases[: _CASES // 2]
        direct, router = targets[:2]
        checks = [
            (direct, len(half), partial(check_direct, session, direct.url, DIRECT_VERSION, half)),
            (router, 2 * len(cases), partial(check_router, session, router.url, cases)),
        ]
        lines = []
        for target, answers, compare in checks:
            first = self._numbers.next
            async with loaded(target.url, target.stream, first, _CHECK_CLIENTS, _CHECK_S) as load:
                wrong = await compare()
                one = await load.stop()
            self._numbers.sent(one.requests + one.errors + _CHECK_CLIENTS)
            if wrong:
                raise BenchError(f"{target.name}: {len(wrong)} wrong answers, the first: {wrong[0]}")
            lines.append(f"{target.name}: {answers:,} answers compared, all right.")
        return lines

    async def memory(self, target: Target) -> Memory:
        """Send a million distinct requests."""

        async def answered() -> int:
            return (await self._counts())["served"]

        def report(count: int) -> None:
            self._status.update(f"memory: {count:,} distinct requests answered")

        worker = partial(rss_mib, router_process())
        return await watch_memory(target, self._numbers, answered, worker, report)

    async def run(self, with_memory: bool, begun: float, load: str) -> Run:
        """Everything, in order."""
        targets = await self.targets()
        checks = await self.check(targets)
        table = await measure(
            targets,
            CLIENTS,
            self._effort,
            self._numbers,
            lambda name, clients: self._status.update(f"{clients} clients: {name}"),
        )
        memory = await self.memory(targets[1]) if with_memory else None
        counted = await self._counts()
        checks.append(
            f"{counted['events']:,} events are in Redis, {counted['events dropped']:,} were dropped."
        )
        return Run(
            table=table,
            clients=CLIENTS,
            effort=self._effort,
            figures=figures.figures(table, memory),
            checks=checks,
            memory=memory,
            direct_version=f"credit {DIRECT_VERSION}",
            load=load,
            took_s=time.monotonic() - begun,
        )


async def bench(console: Console, effort: Effort, with_memory: bool) -> Run:
    """Start everything, measure, end everything. Raises BenchError."""
    begun, load = time.monotonic(), others_load()
    require_wrk()
    with console.status("starting the services, the router and Redis") as status:
        async with started(DIRECT_VERSION) as stack:
            return await Bench(stack, effort, status).run(with_memory, begun, load)


def main() -> int:
    """Run the benchmark. Exit code 1 when a promise is missed or nothing could be measured."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="short rounds, under 90 s; the page is left alone"
    )
    parser.add_argument(
        "--memory",
        action=argparse.BooleanOptionalAction,
        help="the router's memory over a million requests (part of the full run, not of --quick)",
    )
    options = parser.parse_args()
    with_memory = not options.quick if options.memory is None else options.memory
    console = Console() if sys.stdout.isatty() else Console(width=120)
    effort = QUICK if options.quick else FULL
    run = run_until_signal("bench", bench(console, effort, with_memory))
    show(console, run)
    if not options.quick:
        write_section("bench", section(run))
        console.print(f"Written to {PAGE}.")
    return 0 if all(figure.holds for figure in run.figures) and not problems(run.table) else 1


if __name__ == "__main__":
    sys.exit(main())
