"""One side of a comparison: the stack of the tree that this runs in, under load on request.

`python side.py` is run in a tree, this one's or an earlier revision's, and imports what it needs from there.
So what it imports from `loadtests.bench` keeps its name and its place.

It prints a line when it is ready: the kinds of load. One of them on standard input is a phase of load. The
answer is a line with how many requests were answered and the CPU seconds that they cost the router, and the
router, the services and both Redis together.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, os.getcwd())

import aiohttp
import psutil  # type: ignore[import-untyped]

from loadtests.bench.errors import BenchError
from loadtests.bench.run import clean_environment
from loadtests.bench.stack import started
from loadtests.bench.streams import HELD_OUT, ROUTER, Numbers, read_rows, write_distinct, write_repeats
from loadtests.bench.wrk import drive

_CLIENTS: Final = 64
_SECONDS: Final = 1
_SENDERS: Final = 8
_A_REQUEST: Final = 100
# Events that the load has caused are on their way for so long.
_SETTLE_S: Final = 0.2


@asynccontextmanager
async def _loads() -> AsyncIterator[dict[str, Callable[[], Awaitable[int]]]]:
    """Each kind of load by name; called, it returns how many were answered."""
    async with started("v1") as stack, aiohttp.ClientSession() as session:
        numbers, rows, host = Numbers(), read_rows(HELD_OUT), stack.router.removeprefix("http://")
        distinct = write_distinct(ROUTER, rows, host, stack.data_dir / "side-distinct.lua")
        repeats = write_repeats(ROUTER, rows, host, stack.data_dir / "side-repeats.lua")

        async def uncached() -> int:
            done = await drive(stack.router, distinct, numbers.next, _CLIENTS, _SECONDS)
            numbers.sent(done.requests + _CLIENTS)
            return done.requests

        async def cached() -> int:
            return (await drive(stack.router, repeats, 0, _CLIENTS, _SECONDS)).requests

        async def outcomes() -> int:
            end = time.monotonic() + _SECONDS
            body = [{"user_id": f"u-{n}", "name": "profit", "value": 12.5} for n in range(_A_REQUEST)]

            async def send() -> int:
                sent = 0
                while time.monotonic() < end:
                    async with session.post(f"{stack.router}/outcomes", json={"outcomes": body}) as answer:
                        answer.raise_for_status()
                    sent += _A_REQUEST
                return sent

            return sum(await asyncio.gather(*(send() for _ in range(_SENDERS))))

        yield {
            "prediction, uncached": uncached,
            "prediction, cached": cached,
            "outcome (100 a request)": outcomes,
        }


def _cpu_s() -> tuple[float, float]:
    """CPU seconds so far of the routers below this process, and of everything that answers a request."""
    router = everything = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            line = " ".join(process.cmdline())
            times: Any = process.cpu_times()
        except psutil.Error:
            continue
        used = times.user + times.system
        is_router = "-m router" in line or "multiprocessing" in line
        router += used * is_router
        everything += used * (is_router or "services.credit" in line or "redis-server" in line)
    return router, everything


async def _serve() -> None:
    async with _loads() as loads:
        for load in loads.values():
            await load()  # everything is warm
        _tell(list(loads))
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            before = _cpu_s()
            count = await loads[name]()
            await asyncio.sleep(_SETTLE_S)
            _tell([count, *(after - earlier for earlier, after in zip(before, _cpu_s(), strict=True))])


def _tell(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    assert Path("loadtests").is_dir(), "run this in a tree of Ekiben"
    clean_environment()
    try:
        asyncio.run(_serve())
    except BenchError as error:
        sys.exit(f"bench-costs-against: {error}")
