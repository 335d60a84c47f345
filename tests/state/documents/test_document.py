"""The experiments document in a real Redis: compare-and-set, audit, change messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.document import (
    AUDIT_STREAM,
    CHANGES_CHANNEL,
    Conflict,
    DocumentStore,
    Stored,
    dump_document,
    open_store,
    read_record,
)
from ekiben.state.documents.record import Record, digest_of
from tests.redis_server import RedisServer
from tests.router.documents import credit_document

ONE, OTHER = credit_document(), credit_document(experiment={"coverage": 10})


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[DocumentStore]:
    store = open_store(redis.url)
    yield store
    await store.close()


async def test_an_empty_redis_holds_no_document(store: DocumentStore) -> None:
    assert await store.load() is None


async def test_what_was_stored_is_loaded(store: DocumentStore) -> None:
    stored = await store.change(None, ONE, who="me", why="first", text=b"a file")
    assert stored.revision == 1
    assert stored.lineage
    assert await store.load() == stored


async def test_each_change_raises_the_revision_and_keeps_lineage_and_applied_digest(
    store: DocumentStore,
) -> None:
    first = await store.change(None, ONE, who="me", why="first", text=b"a file")
    second = await store.change(first, OTHER, who="me", why="second")
    assert (second.lineage, second.revision, second.applied) == (first.lineage, 2, digest_of(b"a file"))
    assert await store.load() == second


async def test_a_change_of_what_is_no_longer_held_is_a_conflict_and_changes_nothing(
    store: DocumentStore, redis: RedisServer
) -> None:
    first = await store.change(None, ONE, who="me", why="first")
    second = await store.change(first, OTHER, who="me", why="second")
    for held in (None, first, Stored("another", 2, "", ONE)):
        with pytest.raises(Conflict):
            await store.change(held, ONE, who="you", why="late")
    assert await store.load() == second
    async with redis.client() as client:
        assert await client.xlen(AUDIT_STREAM) == 2


async def test_of_many_changes_at_once_exactly_one_is_made(store: DocumentStore) -> None:
    first = await store.change(None, ONE, who="me", why="first")
    results = await asyncio.gather(
        *(store.change(first, OTHER, who=str(number), why="race") for number in range(20)),
        return_exceptions=True,
    )
    won = [result for result in results if isinstance(result, Stored)]
    assert len(won) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 19
    assert await store.load() == won[0]


async def test_a_change_is_audited_with_who_when_why_before_and_after(
    store: DocumentStore, redis: RedisServer
) -> None:
    first = await store.change(None, ONE, who="me", why="first")
    await store.change(first, OTHER, who="you", why="second")
    async with redis.client() as client:
        entries = [fields for _, fields in await client.xrange(AUDIT_STREAM)]
    one, other = (orjson.dumps(dump_document(document)) for document in (ONE, OTHER))
    assert [(e[b"who"], e[b"why"], e[b"before"], e[b"after"]) for e in entries] == [
        (b"me", b"first", b"", one),
        (b"you", b"second", one, other),
    ]
    assert [e[b"revision"] for e in entries] == [b"1", b"2"]
    assert {e[b"lineage"] for e in entries} == {first.lineage.encode()}
    assert all(float(e[b"at"]) > 1.7e9 for e in entries)


async def test_a_change_is_published(store: DocumentStore, redis: RedisServer) -> None:
    async with redis.client() as client, client.pubsub() as subscription:
        await subscription.subscribe(CHANGES_CHANNEL)
        assert await subscription.get_message(timeout=30)
        await store.change(None, ONE, who="me", why="first")
        message = await subscription.get_message(ignore_subscribe_messages=True, timeout=30)
        assert message is not None
        assert message["data"] == b"1"


async def test_restore_puts_back_lineage_and_revision(store: DocumentStore, redis: RedisServer) -> None:
    stored = Stored("lineage", 41, "digest", ONE)
    await store.restore(None, stored.as_record(), "restored: it was lost")
    assert await store.load() == stored
    with pytest.raises(Conflict):
        await store.restore(None, stored.as_record(), "restored: it was lost")
    async with redis.client() as client:
        ((_, entry),) = await client.xrange(AUDIT_STREAM)
    assert b"restored" in entry[b"why"]


async def test_a_redis_that_is_away_is_state_unavailable(redis: RedisServer, store: DocumentStore) -> None:
    redis.kill()
    with pytest.raises(StateUnavailable):
        await store.load()
    with pytest.raises(StateUnavailable):
        await store.change(None, ONE, who="me", why="first")
    await redis.start()
    assert await store.load() is None  # the same store goes on


async def test_a_redis_that_hangs_is_state_unavailable_in_the_end(
    redis: RedisServer, store: DocumentStore
) -> None:
    await store.load()
    redis.pause()
    try:
        with pytest.raises(StateUnavailable):
            await store.load()
    finally:
        redis.resume()
    assert await store.load() is None


def test_a_copy_is_read_back_as_it_was_written() -> None:
    stored = Stored("lineage", 3, "digest", OTHER)
    record = stored.as_record()
    assert Record.from_json(record.to_json()) == record
    assert read_record(record) == stored


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b'{"lineage":"a","revision":"x","applied":"","document":{}}']
)
def test_what_is_no_copy_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        Record.from_json(data)
