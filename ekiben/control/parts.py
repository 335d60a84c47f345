"""Keeping a controller's parts running: a part that fails is logged and begins again, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from ekiben.process.tasks import end_tasks, keep_running

# The recorder takes its time for what it has gathered.
_CANCEL_AGAIN_S: Final = 11.0


@asynccontextmanager
async def running(parts: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run every part for as long as the block does; they end in the opposite order, one after the other."""
    tasks = [asyncio.create_task(keep_running(name, run), name=name) for name, run in parts.items()]
    try:
        yield
    finally:
        for task in reversed(tasks):
            await end_tasks(task, again_s=_CANCEL_AGAIN_S)
