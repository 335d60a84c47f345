"""Keeping a controller's parts running: a part that fails is logged and begins again, the others go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from process.tasks import end_tasks

log = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
_STEADY_S: Final = 60.0
# The recorder takes its time for what it has gathered.
_CANCEL_AGAIN_S: Final = 11.0


@asynccontextmanager
async def running(parts: Mapping[str, Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run every part for as long as the block does; they end in the opposite order, one after the other."""
    tasks = [asyncio.create_task(_kept(name, run), name=name) for name, run in parts.items()]
    try:
        yield
    finally:
        for task in reversed(tasks):
            await end_tasks(task, again_s=_CANCEL_AGAIN_S)


async def _kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    wait_s = _FIRST_WAIT_S
    while True:
        begun = loop.time()
        try:
            await run()
            log.error("%s has ended, which it is not meant to", name)
        except Exception:
            log.exception("%s failed and begins again", name)
        if loop.time() - begun > _STEADY_S:
            wait_s = _FIRST_WAIT_S
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
