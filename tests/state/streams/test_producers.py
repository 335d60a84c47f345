"""Blocks in a real Redis: once, whatever happens to the replies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ekiben.state.connecting import StateUnavailable, open_state
from ekiben.state.streams.blocks import EVENTS_STREAM
from ekiben.state.streams.events import Exposure
from ekiben.state.streams.producers import Producer
from tests.redis_server import RedisServer
from tests.state.reading import events_in


def event(event_id: str) -> Exposure:
    return Exposure(event_id, 5.0)


def producer(redis: Redis, name: str = "p") -> Producer:
    return Producer(redis, EVENTS_STREAM, lambda: name)


async def read(server: RedisServer) -> list[list[str]]:
    """The event ids of each entry, in the stream's order."""
    async with server.client() as client:
        entries = await client.xrange(EVENTS_STREAM)
    return [[each.event_id for each in events_in([entry])] for entry in entries]


@pytest.fixture
async def state(redis: RedisServer) -> AsyncIterator[Redis]:
    client = open_state(redis.url)
    yield client
    await client.aclose()


class LosingReplies:
    """A way to Redis on which requests arrive, and the replies to those that append are lost."""

    def __init__(self, server: RedisServer, path: Path) -> None:
        self.path = path
        self.url = f"unix://{path}"
        self.losing = False
        self._server = server

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(str(self._server.path))
        try:
            while request := await reader.read(1 << 20):
                back.write(request)
                reply = await there.read(1 << 20)
                if self.losing and b"EVALSHA" in request and not reply.startswith(b"-"):
                    return
                writer.write(reply)
        except OSError:
            pass
        finally:
            writer.close()
            back.close()


@contextlib.asynccontextmanager
async def losing_replies(server: RedisServer) -> AsyncIterator[LosingReplies]:
    way = LosingReplies(server, server.path.with_name("way.sock"))
    listener = await asyncio.start_unix_server(way.serve, way.path)
    try:
        yield way
    finally:
        listener.close()


async def test_blocks_are_in_the_stream_in_the_order_in_which_they_were_sent(
    state: Redis, redis: RedisServer
) -> None:
    one = producer(state)
    for number in range(3):
        await one.send(one.block([event(f"{number}a"), event(f"{number}b")]))
    assert await read(redis) == [["0a", "0b"], ["1a", "1b"], ["2a", "2b"]]


async def test_a_block_that_is_sent_again_after_a_lost_reply_is_in_the_stream_once(
    redis: RedisServer,
) -> None:
    async with losing_replies(redis) as way:
        client = open_state(way.url)
        one = producer(client)
        await one.send(one.block([event("first")]))
        block = one.block([event("second")])
        way.losing = True
        for _ in range(3):
            with pytest.raises(StateUnavailable):
                await one.send(block)
        assert await read(redis) == [["first"], ["second"]]
        way.losing = False
        await one.send(block)
        await one.send(one.block([event("third")]))
        assert await read(redis) == [["first"], ["second"], ["third"]]
        await client.aclose()


async def test_a_block_that_arrives_behind_a_later_one_is_not_appended(
    state: Redis, redis: RedisServer
) -> None:
    one = producer(state)
    given_up = one.block([event("given up")])
    await one.send(one.block([event("later")]))
    await one.send(given_up)
    assert await read(redis) == [["later"]]


async def test_producers_do_not_stand_in_each_others_way(state: Redis, redis: RedisServer) -> None:
    for name in ("p", "q", "r"):
        one = producer(state, name)
        await one.send(one.block([event(name)]))
    assert await read(redis) == [["p"], ["q"], ["r"]]


async def test_a_block_that_redis_has_no_memory_for_can_be_sent_again(
    state: Redis, redis: RedisServer
) -> None:
    one = producer(state)
    block = one.block([event("1")])
    async with redis.client() as client:
        await client.config_set("maxmemory", "1")
        with pytest.raises(StateUnavailable):
            await one.send(block)
        await client.config_set("maxmemory", "0")
    await one.send(block)
    assert await read(redis) == [["1"]]


async def test_a_transport_that_was_closed_meanwhile_is_a_redis_that_is_away(
    state: Redis, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = producer(state)

    async def closed(**_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    with monkeypatch.context() as patch:
        patch.setattr(one, "_append", closed)
        with pytest.raises(StateUnavailable, match="handler is closed"):
            await one.send(one.block([event("1")]))
    await one.send(one.block([event("2")]))
    assert await read(redis) == [["2"]]


async def test_a_redis_that_came_back_empty_takes_the_next_block(state: Redis, redis: RedisServer) -> None:
    one = producer(state)
    await one.send(one.block([event("lost")]))
    redis.kill()
    with pytest.raises(StateUnavailable):
        await one.send(one.block([event("nowhere to go")]))
    await redis.start()
    await one.send(one.block([event("next")]))
    assert await read(redis) == [["next"]]


async def test_a_redis_that_hangs_is_waited_for_no_longer_than_asked(
    state: Redis, redis: RedisServer
) -> None:
    one = producer(state)
    await one.send(one.block([event("1")]))
    redis.pause()
    block = one.block([event("2")])
    with pytest.raises(StateUnavailable, match="did not answer"):
        await one.send(block, timeout_s=0.1)
    redis.resume()
    await one.send(block)
    assert await read(redis) == [["1"], ["2"]]
