"""A task that is told to end has ended when `end_tasks` returns, even one that missed a cancellation."""

from __future__ import annotations

import asyncio

from ekiben.process.tasks import end_tasks


async def test_a_task_that_lost_a_cancellation_is_told_again() -> None:
    told: list[str] = []

    async def loses_the_first() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                told.append("told")
                if len(told) == 2:
                    raise

    async def ends() -> None:
        await asyncio.sleep(60)

    tasks = [asyncio.create_task(each()) for each in (loses_the_first, ends)]
    await asyncio.sleep(0)
    await end_tasks(*tasks, again_s=0.01)
    assert [task.cancelled() for task in tasks] == [True, True]
    assert told == ["told", "told"]


async def test_what_a_task_raises_while_it_ends_is_its_own() -> None:
    async def fails() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("no")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end_tasks(task)
    assert isinstance(task.exception(), OSError)
