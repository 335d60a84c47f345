"""A worker that is told to stop does stop."""

from __future__ import annotations

import asyncio

from tests.router.conftest import Router
from tests.waiting import PATIENCE_S


async def test_a_background_task_that_loses_a_cancellation_does_not_hold_the_worker_up(
    router: Router,
) -> None:
    lost = 0

    async def lose_the_first() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost:
                    raise
                lost += 1

    router.worker.spawn(lose_the_first())
    await asyncio.sleep(0)
    await asyncio.wait_for(router.worker.stop(1.0), PATIENCE_S)
    assert lost == 1
