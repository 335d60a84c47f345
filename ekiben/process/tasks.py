"""What runs in the background without an end: it is kept running, and ended when that is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

log = logging.getLogger(__name__)

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0
# A part that ran so long begins with short waits again.
_STEADY_S: Final = 60.0


async def end_tasks(*tasks: asyncio.Task[Any], again_s: float = 1.0) -> None:
    """Cancel `tasks` until every one has ended, telling them again after `again_s` seconds.

    `asyncio.wait_for`, by which redis-py sends, can lose a cancellation in Python 3.11 (cpython issue 86296).
    `again_s` is longer than a task takes for its last work, which a further cancellation would end. What the
    tasks returned or raised is theirs.
    """
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=again_s)


async def keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run `run`, and again after a while when it fails or ends, until cancelled."""
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
