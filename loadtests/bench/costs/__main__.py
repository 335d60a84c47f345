"""`make bench-costs`: what one request costs each part, in CPU time and in bytes, for docs/scaling.md.

Everything runs at once: router, services, both Redis, controller. CPU time is what the kernel counts for each
process, user and system, over a phase of load, divided by the requests of that phase.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
from redis.asyncio import Redis
from rich.console import Console
from rich.status import Status
from rich.table import Table

from ekiben.control.recording.files import EventFiles
from ekiben.state.embedded import Addresses, addresses
from ekiben.up.readiness import Part, until_ready
from loadtests.bench.costs.sizing import PARTS, RATES, SIZES, Phase, limits, model, rows
from loadtests.bench.errors import BenchError
from loadtests.bench.machine import describe_machine, others_load, revision, today
from loadtests.bench.run import run_until_signal
from loadtests.bench.section import markdown_table, write_section
from loadtests.bench.stack import Stack, started
from loadtests.bench.streams import HELD_OUT, ROUTER, Numbers, read_rows, write_distinct, write_repeats
from loadtests.bench.wrk import drive, require_wrk

PAGE: Final = Path("docs/scaling.md")
CONTROLLER_PORT: Final = 13406
_CLIENTS: Final = 64
_SECONDS: Final = 15
_WARM_UP_S: Final = 3
_OUTCOMES: Final = 200_000
_A_REQUEST: Final = 100
_SENDERS: Final = 8


class Costs:
    """A stack with a controller beside it, and what it used so far."""

    def __init__(self, stack: Stack, where: Addresses, status: Status) -> None:
        self._stack = stack
        self._status = status
        self._numbers = Numbers()
        rows, folder = read_rows(HELD_OUT), stack.data_dir
        self._distinct = write_distinct(ROUTER, rows, stack.router, folder / "costs-distinct.lua")
        self._repeats = write_repeats(ROUTER, rows, stack.router, folder / "costs-repeats.lua")
        self._state = Redis.from_url(where.state_url)
        self._cache = Redis.from_url(where.cache_url)

    async def phases(self) -> list[Phase]:
        """One of each kind of load."""
        try:
            uncached = await self._phase("prediction, uncached", self._uncached)
            await self._cached(_WARM_UP_S)
            cached = await self._phase("prediction, cached", self._cached)
            return [uncached, cached, await self._phase("outcome (100 a request)", self._outcomes)]
        finally:
            await self._state.aclose()
            await self._cache.aclose()

    async def _uncached(self) -> int:
        """Predictions that nobody has asked for before."""
        done = await drive(self._stack.router, self._distinct, self._numbers.next, _CLIENTS, _SECONDS)
        self._numbers.sent(done.requests + _CLIENTS)
        return done.requests

    async def _cached(self, seconds: int = _SECONDS) -> int:
        """Predictions for a thousand applicants who come again and again."""
        return (await drive(self._stack.router, self._repeats, 0, _CLIENTS, seconds)).requests

    async def _outcomes(self) -> int:
        """Outcomes, a hundred a request."""
        numbers = iter(range(_OUTCOMES // _A_REQUEST))

        async def send() -> None:
            for number in numbers:
                items = [
                    {"user_id": f"u-{number}-{place}", "name": "profit", "value": 12.5}
                    for place in range(_A_REQUEST)
                ]
                url = f"{self._stack.router}/outcomes"
                async with self._stack.session.post(url, json={"outcomes": items}) as answer:
                    if answer.status != 202:
                        raise BenchError(f"/outcomes answered {answer.status}")

        await asyncio.gather(*(send() for _ in range(_SENDERS)))
        return _OUTCOMES

    async def _phase(self, name: str, load: Callable[[], Awaitable[int]]) -> Phase:
        self._status.update(load.__doc__)
        await self._recorded()
        before = await self._used()
        count = await load()
        await self._recorded()
        after = await self._used()
        return Phase(name, count, {what: after[what] - before[what] for what in before})

    async def _recorded(self) -> None:
        """Wait until the streams are empty: everything is in files."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            await asyncio.sleep(1.0)
            lengths = [await self._state.xlen(f"ekiben:{stream}") for stream in ("exposures", "outcomes")]
            if not any(lengths):
                return
        raise BenchError("the controller does not record: see controller.log")

    async def _used(self) -> dict[str, float]:
        state, cache = await self._state.info("persistence"), await self._cache.info("memory")
        # Files of a minute that was merged lie beside what replaced them for a minute more.
        files = EventFiles(str(self._stack.data_dir / "controller" / "events"))
        sizes = (
            files.filesystem.get_file_info(path).size
            for kind in files.kinds()
            for path in files.readable(kind).clean
        )
        found = (state["aof_current_size"], cache["used_memory"], sum(sizes))
        return _cpu_s() | dict(zip(SIZES, found, strict=True))


def _cpu_s() -> dict[str, float]:
    """CPU seconds so far of each part's processes."""
    used = dict.fromkeys(PARTS, 0.0)
    for process in psutil.process_iter():
        try:
            if "EKIBEN_RUN" not in process.environ():
                continue
            part = _part(process.cmdline())
            if part is not None:
                times = process.cpu_times()
                used[part] += times.user + times.system
        except psutil.Error:
            continue
    return used


def _part(command: list[str]) -> str | None:
    line = " ".join(command)
    if "redis-server" in line:
        return "Redis (cache)" if "cache" in line else "Redis (state)"
    marks = {"-m router": "router", "-m ekiben.control": "controller", "services.credit.": "services"}
    return next((part for mark, part in marks.items() if mark in line), None)


async def measure(console: Console) -> list[Phase]:
    """Start everything, measure, end everything. Raises BenchError."""
    require_wrk()
    with console.status("starting") as status:
        async with started("v1") as stack:
            where = addresses({}, stack.data_dir / "bench")
            environment = {
                "EKIBEN_STATE_URL": where.state_url,
                "EKIBEN_DATA_DIR": str(stack.data_dir / "controller"),
                "EKIBEN_CONTROLLER_PORT": str(CONTROLLER_PORT),
                # Analysing goes by the clock, not by the request, and make bench-analysis measures it.
                "EKIBEN_ANALYSE_EVERY_S": "86400",
            }
            controller = stack.start("controller", ["-m", "ekiben.control"], 5.0, environment)
            ready = Part(controller, f"http://127.0.0.1:{CONTROLLER_PORT}/readyz")
            await until_ready([ready], lambda _part: None)
            return await Costs(stack, where, status).phases()


def main() -> int:
    """Measure and write the tables into docs/scaling.md."""
    console = Console() if sys.stdout.isatty() else Console(width=120)
    load = others_load()
    phases = run_until_signal("bench-costs", measure(console))
    header = ["for each", *(phase.name for phase in phases)]
    table = Table(*header)
    for row in rows(phases):
        table.add_row(*row)
    console.print(table)
    counts = ", ".join(f"{phase.count:,} of {phase.name}" for phase in phases)
    about = f"{today()}, {describe_machine()}, revision {revision()}, {load}. Measured over {counts}."
    write_section("costs", f"{about}\n\n{markdown_table(header, rows(phases))}", PAGE)
    sizes = ["", *(f"{rate:,} requests/s" for rate in RATES)]
    write_section("model", markdown_table(sizes, model(phases)), PAGE)
    write_section("limits", markdown_table(["one process", "requests/s"], limits(phases)), PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
