"""The lease, in a real Redis: one acts, and one that was stopped does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ekiben.process.tasks import end_tasks
from ekiben.state.connecting import open_state
from ekiben.state.documents.document import DocumentStore
from ekiben.state.lease import LEASE_KEY, Lease, LeaseLost
from tests.redis_server import RedisServer
from tests.router.documents import credit_document
from tests.waiting import until, until_async

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def client(redis: RedisServer) -> AsyncIterator[Redis]:
    client = open_state(redis.url)
    yield client
    await client.aclose()


async def test_of_several_one_holds_the_lease(client: Redis) -> None:
    leases = [Lease(client, f"c{number}", 60) for number in range(5)]
    assert sum(await asyncio.gather(*(lease.renew() for lease in leases))) == 1
    (leader,) = [lease for lease in leases if lease.held()]
    assert leader.token == 1
    assert await leader.renew()
    assert leader.token == 1


async def test_who_gives_it_up_is_followed_by_one_with_a_higher_token(client: Redis) -> None:
    first, second = Lease(client, "first", 60), Lease(client, "second", 60)
    await first.renew()
    await first.release()
    assert not first.held()
    assert await second.renew()
    assert second.token == 2


async def test_by_its_own_clock_a_holder_believes_no_longer_than_since_it_last_asked(client: Redis) -> None:
    now = 100.0
    lease = Lease(client, "one", 60, clock=lambda: now)
    assert await lease.renew()
    now = 159.9
    assert lease.held()
    now = 160.0
    assert not lease.held()
    assert lease.token is None


async def test_a_lease_that_was_taken_is_not_renewed_by_who_held_it_before(client: Redis) -> None:
    first, second = Lease(client, "first", 60), Lease(client, "second", 60)
    await first.renew()
    await client.delete(LEASE_KEY)  # as if it had expired
    await second.renew()
    assert not await first.renew()
    assert second.held()


async def test_a_redis_that_lost_everything_gives_no_two_holders_one_fence(
    client: Redis, redis: RedisServer
) -> None:
    first, second = Lease(client, "first", 60), Lease(client, "second", 60)
    await first.renew()
    redis.kill()
    await redis.start()
    await client.connection_pool.disconnect()
    await second.renew()
    assert first.token == second.token == 1  # and first still believes
    with pytest.raises(LeaseLost):
        await first.write("ekiben:anything", {"a": "b"})
    assert await client.hgetall("ekiben:anything") == {}


async def test_a_change_with_a_lease_that_was_lost_is_refused_and_leaves_no_trace(client: Redis) -> None:
    store = DocumentStore(client)
    held = await store.change(None, credit_document(), who="me", why="first")
    first, second = Lease(client, "first", 60), Lease(client, "second", 60)
    await first.renew()
    await client.delete(LEASE_KEY)
    await second.renew()
    other = credit_document(experiment={"coverage": 10})
    with pytest.raises(LeaseLost):
        await store.change(held, other, who="first", why="late", lease=first)
    assert await store.load() == held
    assert await client.xlen("ekiben:audit") == 1
    assert (await store.change(held, other, who="second", why="in time", lease=second)).revision == 2


async def test_who_never_held_the_lease_cannot_change_with_it(client: Redis) -> None:
    store = DocumentStore(client)
    held = await store.change(None, credit_document(), who="me", why="first")
    with pytest.raises(LeaseLost):
        await store.change(held, credit_document(), who="me", why="x", lease=Lease(client, "one", 60))


async def test_run_tells_when_it_begins_and_gives_up_when_it_is_cancelled(client: Redis) -> None:
    told: list[bool] = []
    lease = Lease(client, "one", 60)
    task = asyncio.create_task(lease.run(told.append))
    await until(lambda: told == [True])
    await end_tasks(task)
    assert told == [True, False]
    assert await client.get(LEASE_KEY) is None


async def test_who_cannot_reach_redis_any_more_is_told_to_stop_and_begins_again_when_it_can(
    client: Redis, redis: RedisServer
) -> None:
    told: list[bool] = []
    lease = Lease(client, "one", 1)
    task = asyncio.create_task(lease.run(told.append))
    await until(lambda: told == [True])
    redis.kill()
    await until(lambda: told == [True, False])
    assert not lease.held()
    await redis.start()
    await until(lambda: told == [True, False, True])
    await end_tasks(task)


class Holder:
    """A process that holds the lease; a line in is a change to make, a line out what came of it."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.state.lease_holder", url, "sleeper", "1"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def stop(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    async def said(self) -> bytes:
        assert self._process.stdout is not None
        return await asyncio.to_thread(self._process.stdout.readline)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def holder(redis: RedisServer) -> Iterator[Callable[[], Holder]]:
    started: list[Holder] = []

    def start() -> Holder:
        started.append(Holder(redis.url))
        return started[-1]

    yield start
    for each in started:
        each.end()


async def test_a_holder_that_was_stopped_and_wakes_up_cannot_act(
    client: Redis, holder: Callable[[], Holder]
) -> None:
    store = DocumentStore(client)
    before = await store.change(None, credit_document(), who="me", why="first")
    sleeper = holder()
    assert await sleeper.said() == b"leading\n"
    sleeper.stop()
    sleeper.tell(b"50\n")  # what it will do first when it wakes up
    other = Lease(client, "other", 60)
    await until_async(other.renew)
    sleeper.wake()
    assert sorted([await sleeper.said(), await sleeper.said()]) == [b"LeaseLost\n", b"lost\n"]
    assert await store.load() == before
    assert other.held()
