"""`make bench`: the router beside the service called directly and beside an empty app, in one run."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
from rich.console import Console
from rich.status import Status

from loadtests.bench import figures
from loadtests.bench.check import Checked, check_direct, check_router, make_cases
from loadtests.bench.counters import counters
from loadtests.bench.errors import BenchError
from loadtests.bench.machine import (
    describe_machine,
    describe_tool,
    describe_versions,
    others_load,
    revision,
    today,
)
from loadtests.bench.measure import Effort, Target, measure
from loadtests.bench.memory import Memory, watch_memory
from loadtests.bench.probe import response_size
from loadtests.bench.report import Run, section, show
from loadtests.bench.run import clean_environment, run_until_signal
from loadtests.bench.section import PAGE, write_section
from loadtests.bench.stack import Stack, router_pid, rss_mib, started
from loadtests.bench.streams import (
    DIRECT,
    HELD_OUT,
    ROUTER,
    Ask,
    Numbers,
    Stream,
    read_rows,
    write_distinct,
    write_repeats,
)
from loadtests.bench.wrk import Load, require_wrk

CLIENTS: Final = (1, 16, 64, 256)
FULL: Final = Effort(rounds=9, seconds=2, warm_up_s=1)
QUICK: Final = Effort(rounds=2, seconds=1, warm_up_s=1)
# Called directly the two tie: v1 was 6 % faster at 1, 64 and 256 clients, v2 13 % at 16.
DIRECT_VERSION: Final = "v1"
_MEMORY_LIMIT_S: Final = 200
_CHECK_CLIENTS: Final = 64
_CHECK_S: Final = 20
_CASES: Final = 1_000


class Bench:
    """One run, from the started stack to what it found out."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, effort: Effort, status: Status) -> None:
        self._stack = stack
        self._session = session
        self._effort = effort
        self._status = status
        self._numbers = Numbers()
        self._rows = read_rows(HELD_OUT)

    def _streams(self, name: str, ask: Ask, url: str) -> tuple[Stream, Stream]:
        host = url.removeprefix("http://")
        folder = self._stack.data_dir
        return (
            write_distinct(ask, self._rows, host, folder / f"{name}-distinct.lua"),
            write_repeats(ask, self._rows, host, folder / f"{name}-repeats.lua"),
        )

    async def _counts(self) -> Counter[str]:
        return await counters(self._session, self._stack.router)

    async def targets(self) -> list[Target]:
        """The four, with their streams."""
        stack, row = self._stack, self._rows[0]
        distinct, repeats = self._streams("router", ROUTER, stack.router)
        direct, _ = self._streams("direct", DIRECT, stack.direct)
        router_size = await response_size(self._session, stack.router, ROUTER, row)
        empty_size = await response_size(self._session, stack.empty, ROUTER, row)
        return [
            Target(
                figures.DIRECT,
                stack.direct,
                direct,
                await response_size(self._session, stack.direct, DIRECT, row),
            ),
            Target(figures.UNCACHED, stack.router, distinct, router_size, self._counts, "served"),
            Target(figures.REPEATS, stack.router, repeats, router_size, self._counts, "cached"),
            Target(figures.EMPTY, stack.empty, repeats, empty_size),
        ]

    async def check(self, targets: Sequence[Target]) -> list[str]:
        """Compare answers under load. Raises BenchError when one is wrong."""
        self._status.update("comparing answers, under load")
        cases = await make_cases(self._session, self._stack.services, self._rows, _CASES)
        told = []
        for target in targets[:2]:
            async with Load(target.url, target.stream, self._numbers.next, _CHECK_CLIENTS, _CHECK_S) as load:
                checked = await self._compare(target, cases)
                load.stop()
                one = await load.result()
            self._numbers.sent(one.requests + one.errors + _CHECK_CLIENTS)
            if checked.wrong:
                raise BenchError(
                    f"{target.name}: {len(checked.wrong)} wrong answers, the first: {checked.wrong[0]}"
                )
            told.append(f"{target.name}: {checked.answers:,} answers compared, all right.")
        return told

    async def _compare(self, target: Target, cases: list[Any]) -> Checked:
        if target.name == figures.DIRECT:
            return await check_direct(self._session, target.url, DIRECT_VERSION, cases[: len(cases) // 2])
        return await check_router(self._session, target.url, cases)

    async def memory(self, target: Target) -> Memory:
        """Send a million distinct requests."""
        pid = router_pid(self._stack)

        async def answered() -> int:
            return (await self._counts())["served"]

        def tell(count: int) -> None:
            self._status.update(f"memory: {count:,} distinct requests answered")

        return await watch_memory(
            target.url, target.stream, self._numbers, answered, lambda: rss_mib(pid), _MEMORY_LIMIT_S, tell
        )

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
            machine=describe_machine(),
            versions=f"{describe_versions()}, {describe_tool('wrk', '-v').split(' [')[0]}",
            revision=revision(),
            load=load,
            date=today(),
            took_s=time.monotonic() - begun,
        )


async def bench(console: Console, effort: Effort, with_memory: bool) -> Run:
    """Start everything, measure, end everything. Raises BenchError."""
    begun, load = time.monotonic(), others_load()
    require_wrk()
    with console.status("starting the services, the router and Redis") as status:
        async with started(DIRECT_VERSION) as stack:
            timeout = aiohttp.ClientTimeout(total=30)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                return await Bench(stack, session, effort, status).run(with_memory, begun, load)


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
    clean_environment()
    console = Console() if sys.stdout.isatty() else Console(width=120)
    try:
        run = run_until_signal(bench(console, QUICK if options.quick else FULL, with_memory))
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    show(console, run)
    if not options.quick:
        write_section("bench", section(run))
        console.print(f"Written to {PAGE}.")
    return 0 if all(figure.holds for figure in run.figures) and not run.problems else 1


if __name__ == "__main__":
    sys.exit(main())
