"""Ending what runs in the background."""

from __future__ import annotations

import asyncio
from typing import Any


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
