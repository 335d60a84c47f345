"""A controller's parts are kept running, and end one after the other."""

from __future__ import annotations

import asyncio

from ekiben.control.parts import running
from tests.waiting import until


async def test_a_part_that_fails_begins_again_and_the_others_go_on() -> None:
    begun: list[str] = []

    async def fails() -> None:
        begun.append("fails")
        raise ValueError("broken")

    async def goes_on() -> None:
        begun.append("goes on")
        await asyncio.Event().wait()

    async with running({"fails": fails, "goes on": goes_on}):
        await until(lambda: begun.count("fails") >= 2)
    assert begun.count("goes on") == 1


async def test_parts_end_in_the_opposite_order_each_after_the_one_before() -> None:
    ended: list[str] = []

    def part(name: str) -> object:
        async def run() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(name)

        return run

    async with running({name: part(name) for name in ("lease", "recorder", "analyst")}):  # type: ignore[misc]
        await asyncio.sleep(0)
    assert ended == ["analyst", "recorder", "lease"]
