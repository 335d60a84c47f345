"""Waiting without clocks, for what takes real processes a while, and for a machine that has time for us."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Generous: it is only ever reached when a test fails.
PATIENCE_S = 30.0


def wait_for(what: Callable[[], T], within_s: float = PATIENCE_S) -> T:
    """Wait until `what` is true and return it, where there is no event loop."""
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
    return found


async def settle(turns: int = 50) -> None:
    """Let everything run that can, without a clock: what is in memory needs only turns of the event loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(what: Callable[[], T], within_s: float = PATIENCE_S) -> T:
    """Wait until `what` is true and return it."""
    end = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.005)
    return found


async def until_async(what: Callable[[], Awaitable[T]], within_s: float = PATIENCE_S) -> T:
    """The same for what has to be awaited."""
    end = time.monotonic() + within_s
    while not (found := await what()):
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.02)
    return found


def undisturbed(test: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """For a test of what the code does within milliseconds: try again when it was not given them.

    A failure counts only where the machine had a core for this thread whenever it wanted to run.
    """

    @functools.wraps(test)
    async def tried(*args: P.args, **kwargs: P.kwargs) -> None:
        for left in reversed(range(20)):
            waited = _waited_for_a_core_s()
            try:
                await test(*args, **kwargs)
                break
            except Exception:
                if left == 0 or _waited_for_a_core_s() - waited < 0.005:
                    raise

    return tried


def _waited_for_a_core_s() -> float:
    # "time spent on the CPU, time spent waiting on a runqueue", in ns (the kernel's sched-stats.rst)
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
