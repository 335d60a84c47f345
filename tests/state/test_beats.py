"""What the workers tell of themselves, through a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from ekiben.experiments.problems import DocumentError
from ekiben.state.beats import SEEN_KEY, WORKERS_KEY, Beat, Beats, EndpointBeat, VersionBeat, quantile_s
from ekiben.state.connecting import StateUnavailable, open_state
from ekiben.state.documents.document import DocumentStore
from tests.redis_server import RedisServer
from tests.router.documents import credit_document


def beat(worker: str, **changed: Any) -> Beat:
    fields: dict[str, Any] = {
        "worker": worker,
        "host": "here",
        "pid": 7,
        "at": 1000.5,
        "started_at": 990.0,
        "lineage": "l",
        "revision": 3,
        "adopted_at": 991.0,
        "draining": False,
        "loopback": True,
        "outcomes_open": True,
    }
    return Beat(**(fields | changed))


@pytest.fixture
async def state(redis: RedisServer) -> AsyncIterator[Redis]:
    client = open_state(redis.url)
    yield client
    await client.aclose()


async def older(state: Redis, worker: str, seconds: float) -> None:
    """Let a worker's beat have come so long ago."""
    await state.zincrby(SEEN_KEY, -seconds, worker)


async def test_what_was_written_is_read(state: Redis) -> None:
    endpoint = EndpointBeat(url="http://v1:1", healthy=True, breaker="closed", calls_in_flight=2)
    version = VersionBeat(served=3, cached=1, error=2, seconds_buckets=[1, 3], endpoints=[endpoint])
    one = beat("a", versions={"credit/v1": version}, panic=["*"])
    await Beats(state).write(one)
    assert await Beats(state).read() == [one]
    assert version.requests == 6


async def test_a_workers_next_beat_replaces_its_last(state: Redis) -> None:
    for revision in (1, 2):
        await Beats(state).write(beat("a", revision=revision))
    assert [each.revision for each in await Beats(state).read()] == [2]


async def test_who_writes_a_beat_is_told_who_beats_now(state: Redis) -> None:
    beats = Beats(state)
    assert await beats.write(beat("a")) == ["a"]
    await beats.write(beat("silent"))
    await older(state, "silent", 6)
    assert sorted(await beats.write(beat("b"))) == ["a", "b"]


async def test_a_worker_that_has_been_silent_for_5_s_is_not_shown(state: Redis) -> None:
    for worker in ("a", "b", "c"):
        await Beats(state).write(beat(worker))
    await older(state, "a", 4.0)
    await older(state, "b", 6.0)
    assert {each.worker for each in await Beats(state).read()} == {"a", "c"}
    assert {each.worker for each in await Beats(state).read(within_s=10.0)} == {"a", "b", "c"}


async def test_a_worker_that_has_been_silent_for_a_minute_is_forgotten(state: Redis) -> None:
    for worker in ("a", "b"):
        await Beats(state).write(beat(worker))
        await older(state, worker, 55.0 if worker == "a" else 61.0)
    await Beats(state).write(beat("c"))
    assert set(await state.hkeys(WORKERS_KEY)) == {b"a", b"c"}
    assert await state.zcard(SEEN_KEY) == 2


async def test_a_worker_that_leaves_is_gone_at_once(state: Redis) -> None:
    await Beats(state).write(beat("a"))
    await Beats(state).leave("a")
    assert await Beats(state).read() == []
    assert await state.exists(WORKERS_KEY, SEEN_KEY) == 0


async def test_what_cannot_be_read_is_left_out(state: Redis) -> None:
    await Beats(state).write(beat("a"))
    await Beats(state).write(beat("b"))
    await state.hset(WORKERS_KEY, "b", b'{"worker": "b"}')
    assert [each.worker for each in await Beats(state).read()] == ["a"]


async def test_without_redis_it_says_so(state: Redis, redis: RedisServer) -> None:
    redis.kill()
    with pytest.raises(StateUnavailable):
        await Beats(state).read()


def test_a_quantile_lies_within_its_bucket() -> None:
    bounds = [0.1, 0.2, 0.4]
    assert quantile_s(bounds, [0, 0, 0, 0], 0.5) is None
    assert quantile_s(bounds, [10, 0, 0, 0], 0.5) == pytest.approx(0.05)
    assert quantile_s(bounds, [50, 50, 0, 0], 0.99) == pytest.approx(0.198)
    assert quantile_s(bounds, [0, 0, 100, 0], 0.5) == pytest.approx(0.3)
    assert quantile_s(bounds, [0, 0, 0, 5], 0.5) == 0.4


async def test_a_key_that_a_running_router_cannot_read_is_refused_until_it_has_ended(state: Redis) -> None:
    beats, store = Beats(state), DocumentStore(state)
    held = await store.change(None, credit_document(), who="test", why="first")
    wanted = credit_document(capture={"per_second": 5})
    await beats.write(beat("of this release", reads_later=True))
    await beats.write(beat("former", host="there", pid=12))
    await older(state, "former", 30)  # it may hang, and come back
    with pytest.raises(DocumentError) as refused:
        await store.check(held, wanted)
    (line,) = refused.value.problems
    assert line.startswith("models.credit.capture: routers of an earlier release run that cannot read it: ")
    assert "there (process 12). Replace them first." in line
    assert "60 s after they were killed" in line
    await store.check(held, credit_document(timeout_ms=10_000))  # nothing that it does not know
    await beats.leave("former")
    await store.check(held, wanted)
    changed = await store.change(held, wanted, who="test", why="now")
    await beats.write(beat("former"))
    await store.check(changed, credit_document(capture={"per_second": 6}))  # it has the key already


async def test_a_router_that_was_killed_refuses_a_new_key_for_a_minute_and_no_longer(state: Redis) -> None:
    await Beats(state).write(beat("former"))
    await older(state, "former", 61)
    await DocumentStore(state).check(None, credit_document(capture={"per_second": 5}))
