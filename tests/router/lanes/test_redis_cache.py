"""The cache in a real Redis: away, killed, paused, full, talking rubbish, and back again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from router.lanes.breaker import BreakerState
from router.lanes.cache import LOOK_UP_TIMEOUT_S, RedisCache
from tests.redis_server import RedisServer, talk_rubbish
from tests.router.conftest import build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import until, until_async


class Clock:
    """Real time, and what the test adds to it: no test waits for a breaker to cool down."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class Watched:
    """A cache, its clock, and what went wrong with it."""

    def __init__(self, url: str) -> None:
        self.failures: list[str] = []
        self.clock = Clock()
        self.cache = RedisCache(url, self.clock, self.failures.append)

    async def found(self, *keys: str) -> list[bytes | None]:
        """What a look-up finds once Redis answers one in time: on a busy machine 20 ms may be too short."""

        async def ask() -> list[bytes | None] | None:
            before = len(self.failures)
            self.clock.ahead += 1.0
            answer = await self.cache.get_many(keys)
            return answer if len(self.failures) == before else None

        found = await until_async(ask)
        assert found is not None
        return found

    async def stored(self, *entries: tuple[str, bytes], ttl_s: int = 60) -> None:
        """Store, and wait until it is there."""

        async def put() -> bool:
            self.clock.ahead += 1.0
            self.cache.put_many(entries, ttl_s)
            await until(lambda: not self.cache._stores)
            return await self.found(*(key for key, _ in entries)) == [value for _, value in entries]

        assert await until_async(put)


@pytest.fixture
async def watched(redis: RedisServer) -> AsyncIterator[Watched]:
    watched = Watched(redis.url)
    yield watched
    await watched.cache.close()


async def test_what_was_stored_is_found_and_expires_in_redis(redis: RedisServer, watched: Watched) -> None:
    await watched.stored(("tag:a", b"1"), ("tag:b", b"2"), ttl_s=60)
    assert await watched.found("tag:b", "tag:none", "tag:a") == [b"2", None, b"1"]
    async with redis.client() as client:
        assert 0 < await client.ttl("tag:a") <= 60


async def test_a_ttl_of_0_stores_nothing(redis: RedisServer, watched: Watched) -> None:
    watched.cache.put_many([("tag:a", b"1")], 0)
    assert not watched.cache._stores


async def test_a_redis_that_was_never_there_is_all_misses_and_soon_not_asked(short_folder: Path) -> None:
    watched = Watched(f"unix://{short_folder}/none.sock")
    for _ in range(3):
        assert await watched.cache.get_many(["tag:a"]) == [None]
    assert watched.cache.breaker.state is BreakerState.OPEN
    failures = len(watched.failures)
    assert failures == 3
    assert await watched.cache.get_many(["tag:a", "tag:b"]) == [None, None]
    watched.cache.put_many([("tag:a", b"1")], 60)
    assert len(watched.failures) == failures
    assert not await watched.cache.ping()
    await watched.cache.close()


async def test_a_redis_that_was_killed_is_used_again_when_it_is_back(
    redis: RedisServer, watched: Watched
) -> None:
    await watched.stored(("tag:a", b"1"))
    redis.kill()
    for _ in range(10):
        assert await watched.cache.get_many(["tag:a"]) == [None]
    await redis.start()
    assert await watched.found("tag:a") == [None]  # it came back empty
    await watched.stored(("tag:a", b"2"))


async def test_a_redis_that_hangs_is_left_after_20_ms_and_then_not_asked(
    redis: RedisServer, watched: Watched
) -> None:
    await watched.stored(("tag:a", b"1"))
    redis.pause()
    try:
        began = time.monotonic()
        for _ in range(200):
            assert await watched.cache.get_many(["tag:a"]) == [None]
        # Three waited 20 ms each, and one for each half second since.
        assert 3 <= watched.failures.count("timeout") <= 4 + (time.monotonic() - began) / 0.5
    finally:
        redis.resume()
    assert await watched.found("tag:a") == [b"1"]


class Gate:
    """Stands before Redis. A connection is of use from the moment that `opens` lets it pass."""

    def __init__(self, redis: RedisServer, folder: Path, opens: Callable[[int], Awaitable[object]]) -> None:
        self.path = folder / "gate"
        self.arrived = 0
        self._redis = redis
        self._opens = opens
        self._open: set[object] = set()

    async def __aenter__(self) -> Watched:
        self._server = await asyncio.start_unix_server(self._pass, self.path)
        self.watched = Watched(f"unix://{self.path}")
        return self.watched

    async def __aexit__(self, *_error: object) -> None:
        await self.watched.cache.close()
        self._server.close()
        await until(lambda: not self._open)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(asyncio.current_task())
        self.arrived = number = self.arrived + 1
        inner, out = await asyncio.open_unix_connection(self._redis.path)
        await self._opens(number)
        await asyncio.gather(self._pump(reader, out), self._pump(inner, writer))
        self._open.discard(asyncio.current_task())

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()


async def test_a_connection_that_takes_longer_than_a_look_up_is_made_all_the_same(
    redis: RedisServer, short_folder: Path
) -> None:
    async with redis.client() as client:
        await client.set("v1:a", b"1")
    async with Gate(redis, short_folder, lambda _number: asyncio.sleep(3 * LOOK_UP_TIMEOUT_S)) as watched:
        assert await watched.found("v1:a") == [b"1"]
        assert "timeout" in watched.failures  # the look-ups before it was there


async def test_a_connection_that_wakes_one_who_leaves_is_the_next_one_s(
    redis: RedisServer, short_folder: Path
) -> None:
    never = asyncio.Event()

    async def only_the_first(number: int) -> None:
        if number > 1:
            await never.wait()

    async with Gate(redis, short_folder, only_the_first) as watched:
        cache = watched.cache
        connection = await cache._take()
        leaves, stays = (asyncio.create_task(cache._ask("PING")) for _ in range(2))
        await until(lambda: len(cache._waiting) == 2)
        cache._give_back(connection)
        leaves.cancel()
        assert await stays == b"PONG"
        never.set()


async def test_connections_for_all_who_wait_are_made_at_the_same_time_up_to_a_bound(
    redis: RedisServer, short_folder: Path
) -> None:
    everyone = asyncio.Event()
    gate = Gate(redis, short_folder, lambda _number: everyone.wait())
    async with gate as watched:
        some = [asyncio.create_task(watched.cache.ping()) for _ in range(3)]
        await until(lambda: gate.arrived == 3)
        more = [asyncio.create_task(watched.cache.ping()) for _ in range(30)]
        await until(lambda: gate.arrived == 8)
        everyone.set()
        assert all(await asyncio.gather(*some, *more))
        assert gate.arrived <= 16  # and the others had one that had been used


async def test_who_waits_for_a_connection_takes_one_that_another_gives_back(
    redis: RedisServer, short_folder: Path
) -> None:
    never = asyncio.Event()

    async def first_only(number: int) -> None:
        if number > 1:
            await never.wait()

    async with Gate(redis, short_folder, first_only) as watched:
        assert all(await asyncio.gather(*(watched.cache.ping() for _ in range(20))))
        assert await watched.cache.ping()
        never.set()


async def test_each_who_waits_is_told_when_no_connection_can_be_made(short_folder: Path) -> None:
    cache = Watched(f"unix://{short_folder}/none.sock").cache
    async with asyncio.timeout(30):  # nothing else would end the wait of one who is not told
        told = await asyncio.gather(*(cache._ask("PING") for _ in range(8)), return_exceptions=True)
    assert all(isinstance(each, RedisError) for each in told)
    await cache.close()


async def test_answers_that_come_too_late_reach_nobody_else(redis: RedisServer, watched: Watched) -> None:
    keys = [f"tag:{number}" for number in range(50)]
    await watched.stored(*((key, key.encode()) for key in keys))
    for _ in range(3):
        redis.pause()
        late = [asyncio.create_task(watched.cache.get_many([key])) for key in keys]
        began = time.monotonic()
        assert await asyncio.gather(*late) == [[None]] * len(keys)
        assert time.monotonic() - began < 4  # all of them on new connections, and none longer than 20 ms
        redis.resume()
        for key in keys:
            assert await watched.found(key) == [key.encode()]
    assert await watched.found(*keys) == [key.encode() for key in keys]


async def test_a_full_redis_loses_stores_and_still_answers_look_ups(short_folder: Path) -> None:
    full = RedisServer(short_folder, "full", "--maxmemory", "1", "--maxmemory-policy", "noeviction")
    await full.start()
    watched = Watched(full.url)
    try:
        watched.cache.put_many([("tag:a", b"1")], 60)
        await until(lambda: "store" in watched.failures)
        assert await watched.found("tag:a") == [None]
    finally:
        await watched.cache.close()
        full.kill()


async def test_a_value_of_another_kind_under_the_key_is_a_miss(redis: RedisServer, watched: Watched) -> None:
    async with redis.client() as client:
        await client.lpush("tag:a", "x")
    assert await watched.found("tag:a") == [None]


RUBBISH = {
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "bytes": b"\x00\xff" * 100,
    "null": b"*-1\r\n",
    "one text": b"$3\r\nabc\r\n",
    "loading": b"-LOADING soon\r\n",
    "a number": b"*1\r\n:7\r\n",
    "an array in the array": b"*1\r\n*0\r\n",
}


@pytest.mark.parametrize("answer", RUBBISH.values(), ids=RUBBISH.keys())
async def test_whatever_talks_rubbish_in_place_of_redis_the_answer_is_right(
    short_folder: Path, answer: bytes
) -> None:
    server = await talk_rubbish(short_folder / "rubbish.sock", answer)
    watched = Watched(f"unix://{short_folder}/rubbish.sock")
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    try:
        async with build_app(credit_document(), services, shared=watched.cache) as router:
            for number in range(10):
                watched.clock.ahead += 1.0
                reply = await router.client.predict("u-control", {"row": number})
                assert reply.status == 200
                assert reply.json["prediction"]["row"] == number
    finally:
        await watched.cache.close()
        server.close()


async def test_too_many_stores_under_way_are_dropped_and_counted(
    redis: RedisServer, watched: Watched
) -> None:
    redis.pause()
    for number in range(100):
        watched.cache.put_many([(f"tag:{number}", b"1")], 60)
    dropped = watched.failures.count("store dropped")
    assert dropped == 100 - len(watched.cache._stores) > 0
    redis.resume()


async def test_the_router_answers_everyone_while_its_cache_comes_and_goes(
    redis: RedisServer, watched: Watched
) -> None:
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    document = credit_document()
    async with build_app(document, services, shared=watched.cache, local_cache_entries=0) as router:

        async def all_right(rows: int = 30) -> bool:
            """Whether all were answered rightly; true when the last one came from the cache."""
            watched.clock.ahead += 1.0
            replies = [await router.client.predict("u-control", {"row": row % 10}) for row in range(rows)]
            assert [reply.status for reply in replies] == [200] * rows
            assert [reply.json["prediction"]["row"] for reply in replies] == [row % 10 for row in range(rows)]
            return bool(replies[-1].json["cached"])

        await until_async(all_right)
        redis.pause()
        assert not await all_right(10)
        redis.resume()
        await until_async(all_right)
        redis.kill()
        assert not await all_right()
        await redis.start()
        await until_async(all_right)
