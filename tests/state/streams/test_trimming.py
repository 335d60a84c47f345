"""A stream kept within its limit, in a real Redis with a real consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from ekiben.state.connecting import StateUnavailable, open_state
from ekiben.state.streams.trimming import trim_to
from tests.redis_server import RedisServer

STREAM = "s"
GROUP = "recorder"


@pytest.fixture
async def state(redis: RedisServer) -> AsyncIterator[Redis]:
    client = open_state(redis.url)
    yield client
    await client.aclose()


async def fill(state: Redis, entries: int = 100) -> int:
    """Entries `0`, `1` and so on; returns what they take of memory."""
    for number in range(entries):
        await state.xadd(STREAM, {"n": number, "events": b"x" * 1000})
    return int(await state.memory_usage(STREAM) or 0)


async def read(state: Redis, count: int) -> list[Any]:
    """Have the group read; returns the ids."""
    ((_, entries),) = await state.xreadgroup(GROUP, "c", {STREAM: ">"}, count=count)
    return [entry for entry, _ in entries]


async def left(state: Redis) -> list[int]:
    return [int(fields[b"n"]) for _, fields in await state.xrange(STREAM)]


async def test_within_its_limit_nothing_goes(state: Redis) -> None:
    used = await fill(state)
    assert await trim_to(state, STREAM, used) == 0
    assert len(await left(state)) == 100


async def test_a_stream_that_is_not_there_is_within_its_limit(state: Redis) -> None:
    assert await trim_to(state, STREAM, 1) == 0


async def test_what_was_acknowledged_goes_first_and_is_no_loss(state: Redis) -> None:
    used = await fill(state)
    await state.xgroup_create(STREAM, GROUP, "0")
    await state.xack(STREAM, GROUP, *await read(state, 60))
    assert await trim_to(state, STREAM, used * 3 // 4) == 0
    assert await left(state) == list(range(60, 100))


async def test_what_was_read_and_not_acknowledged_is_kept_while_there_is_room(state: Redis) -> None:
    used = await fill(state)
    await state.xgroup_create(STREAM, GROUP, "0")
    ids = await read(state, 60)
    await state.xack(STREAM, GROUP, *ids[:30], *ids[40:])
    assert await trim_to(state, STREAM, used * 9 // 10) == 0
    assert await left(state) == list(range(30, 100))


async def test_where_that_is_not_enough_the_oldest_go_and_are_counted(state: Redis) -> None:
    used = await fill(state)
    await state.xgroup_create(STREAM, GROUP, "0")
    await state.xack(STREAM, GROUP, *await read(state, 10))
    lost = await trim_to(state, STREAM, used // 2)
    kept = await left(state)
    assert lost == 90 - len(kept) > 0
    assert kept == list(range(100 - len(kept), 100))
    assert int(await state.memory_usage(STREAM) or 0) <= used // 2


async def test_without_a_group_whatever_goes_is_counted(state: Redis) -> None:
    used = await fill(state)
    lost = await trim_to(state, STREAM, used // 2)
    assert lost == 100 - len(await left(state)) > 0


async def test_without_redis_it_says_so(state: Redis, redis: RedisServer) -> None:
    redis.kill()
    with pytest.raises(StateUnavailable):
        await trim_to(state, STREAM, 1)
