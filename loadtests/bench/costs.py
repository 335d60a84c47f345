"""`make bench-costs`: what one request costs each part, in CPU time and in bytes, for docs/scaling.md.

Everything runs at once: router, services, both Redis, controller. CPU time is what the kernel counts for each
process, user and system, over a phase of load, divided by the requests of that phase.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import aiohttp
import psutil  # type: ignore[import-untyped]
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from ekiben.control.recording.files import EventFiles
from ekiben.state.embedded import addresses
from ekiben.up.readiness import Part, until_ready
from loadtests.bench.errors import BenchError
from loadtests.bench.machine import describe_machine, others_load, revision, today
from loadtests.bench.run import clean_environment, run_until_signal
from loadtests.bench.section import markdown_table, write_section
from loadtests.bench.sizing import PARTS, RATES, Phase, limits, model, rows
from loadtests.bench.stack import DATA_DIR, Stack, started
from loadtests.bench.streams import HELD_OUT, ROUTER, Numbers, read_rows, write_distinct, write_repeats
from loadtests.bench.wrk import drive, require_wrk

PAGE: Final = Path("docs/scaling.md")
CONTROLLER_PORT: Final = 13406
_CLIENTS: Final = 64
_SECONDS: Final = 15
_OUTCOMES: Final = 200_000
_A_REQUEST: Final = 100
_SENDERS: Final = 8


class Costs:
    """A stack with a controller beside it, and what it used so far."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession) -> None:
        self._stack = stack
        self._session = session
        self._numbers = Numbers()
        self._rows = read_rows(HELD_OUT)
        where = addresses({}, stack.data_dir / "bench")
        self._state = Redis.from_url(where.state_url)
        self._cache = Redis.from_url(where.cache_url)
        self.environment = {
            "EKIBEN_STATE_URL": where.state_url,
            "EKIBEN_DATA_DIR": str(stack.data_dir / "controller"),
            "EKIBEN_CONTROLLER_PORT": str(CONTROLLER_PORT),
            # Analysing goes by the clock, not by the request, and make bench-analysis measures it.
            "EKIBEN_ANALYSE_EVERY_S": "86400",
        }

    async def close(self) -> None:
        """Close the connections."""
        await self._state.aclose()
        await self._cache.aclose()

    async def uncached(self) -> Phase:
        """Predictions that nobody has asked for before."""
        host = self._stack.router.removeprefix("http://")
        stream = write_distinct(ROUTER, self._rows, host, self._stack.data_dir / "costs-distinct.lua")

        async def load() -> int:
            done = await drive(self._stack.router, stream, self._numbers.next, _CLIENTS, _SECONDS)
            self._numbers.sent(done.requests + _CLIENTS)
            return done.requests

        return await self._phase("prediction, uncached", load)

    async def cached(self) -> Phase:
        """Predictions for a thousand applicants who come again and again."""
        host = self._stack.router.removeprefix("http://")
        stream = write_repeats(ROUTER, self._rows, host, self._stack.data_dir / "costs-repeats.lua")
        await drive(self._stack.router, stream, 0, _CLIENTS, 3)

        async def load() -> int:
            return (await drive(self._stack.router, stream, 0, _CLIENTS, _SECONDS)).requests

        return await self._phase("prediction, cached", load)

    async def outcomes(self) -> Phase:
        """Outcomes, a hundred a request."""
        numbers = iter(range(_OUTCOMES // _A_REQUEST))

        async def send() -> None:
            for number in numbers:
                items = [
                    {"user_id": f"u-{number}-{place}", "name": "profit", "value": 12.5}
                    for place in range(_A_REQUEST)
                ]
                async with self._session.post(
                    f"{self._stack.router}/outcomes", json={"outcomes": items}
                ) as answer:
                    if answer.status != 202:
                        raise BenchError(f"/outcomes answered {answer.status}")

        async def load() -> int:
            await asyncio.gather(*(send() for _ in range(_SENDERS)))
            return _OUTCOMES

        return await self._phase("outcome (100 a request)", load)

    async def _phase(self, name: str, load: Callable[[], Awaitable[int]]) -> Phase:
        await self._recorded()
        before, cpu = await self._bytes(), _cpu_s()
        count = await load()
        await self._recorded()
        after, cpu_after = await self._bytes(), _cpu_s()
        used = {part: cpu_after[part] - cpu[part] for part in PARTS}
        state, cache, files = (b - a for a, b in zip(before, after, strict=True))
        return Phase(name, count, used, state, cache, files)

    async def _recorded(self) -> None:
        """Wait until the streams are empty: everything is in files."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            await asyncio.sleep(1.0)
            lengths = [await self._state.xlen(f"ekiben:{stream}") for stream in ("exposures", "outcomes")]
            if not any(lengths):
                return
        raise BenchError("the controller does not record: see controller.log")

    async def _bytes(self) -> tuple[int, int, int]:
        state, cache = await self._state.info("persistence"), await self._cache.info("memory")
        return state["aof_current_size"], cache["used_memory"], self._file_bytes()

    def _file_bytes(self) -> int:
        # Files of a minute that was merged lie beside what replaced them for a minute more.
        files = EventFiles(str(self._stack.data_dir / "controller" / "events"))
        return sum(
            files.filesystem.get_file_info(path).size
            for kind in files.kinds()
            for path in files.readable(kind).clean
        )


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
    if "-m router" in line:
        return "router"
    if "-m ekiben.control" in line:
        return "controller"
    return "services" if "services.credit_" in line else None


async def measure(console: Console) -> list[Phase]:
    """Start everything, measure, end everything. Raises BenchError."""
    require_wrk()
    with console.status("starting") as status:
        async with started("v1") as stack, aiohttp.ClientSession() as session:
            costs = Costs(stack, session)
            with ExitStack() as undo:
                controller = stack.children.start(
                    "controller", [sys.executable, "-m", "ekiben.control"], costs.environment
                )
                undo.callback(lambda: stack.children.stop([controller], 5.0))
                ready = Part(controller, f"http://127.0.0.1:{CONTROLLER_PORT}/readyz")
                await until_ready([ready], lambda _part: None)
                phases = []
                for phase in (costs.uncached, costs.cached, costs.outcomes):
                    status.update(phase.__doc__ or "measuring")
                    phases.append(await phase())
                await costs.close()
                return phases


def main() -> int:
    """Measure and write the tables into docs/scaling.md."""
    clean_environment()
    console = Console() if sys.stdout.isatty() else Console(width=120)
    load = others_load()
    try:
        phases = run_until_signal(measure(console))
    except BenchError as error:
        sys.stderr.write(f"bench-costs: {error}\n")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    header = ["for each", *(phase.name for phase in phases)]
    table = Table(*header)
    for row in rows(phases):
        table.add_row(*row)
    console.print(table)
    (DATA_DIR / "costs.json").write_text(
        json.dumps([[phase.name, phase.count, phase.cpu_s] for phase in phases])
    )
    counts = ", ".join(f"{phase.count:,} of {phase.name}" for phase in phases)
    about = f"{today()}, {describe_machine()}, revision {revision()}, {load}. Measured over {counts}."
    write_section("costs", f"{about}\n\n{markdown_table(header, rows(phases))}", PAGE)
    sizes = ["", *(f"{rate:,} requests/s" for rate in RATES)]
    write_section("model", markdown_table(sizes, model(phases)), PAGE)
    write_section("limits", markdown_table(["one process", "requests/s"], limits(phases)), PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
