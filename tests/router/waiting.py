"""Waiting without clocks, and for what takes real processes a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Generous: it is only ever reached when a test fails.
PATIENCE_S = 30.0


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
