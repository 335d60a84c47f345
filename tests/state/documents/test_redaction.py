"""A user's id is in nothing that is kept of changes, and everything else is as it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import yaml

from ekiben.experiments.changes.edits import forget_user
from ekiben.experiments.parsing import parse_document
from ekiben.state.connecting import open_state
from ekiben.state.documents.audit import Audit
from ekiben.state.documents.document import Conflict, DocumentStore, Stored
from ekiben.state.documents.redaction import redact_user
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit

USER, STAND_IN = "u-control", "forgotten-0123456789abcdef"


@pytest.fixture
async def client(redis: RedisServer) -> AsyncIterator[Any]:
    client = open_state(redis.url)
    yield client
    await client.aclose()


async def change(store: DocumentStore, held: Stored | None, document: Any, why: str) -> Stored:
    text = yaml.safe_dump(credit()).encode() + b"# u-control is Ann\n"
    return await store.change(held, document, who="ann", why=why, text=text)


async def forgotten(client: Any) -> list[Any]:
    """A document with the user, then without; returns the entries as they were."""
    store = DocumentStore(client)
    document = parse_document(credit())
    held = await change(store, None, document, "a start")
    await change(store, held, forget_user(document, USER), f"{USER} asked to, not {USER}s")
    entries = await Audit(client).entries()
    assert await redact_user(client, store, USER, STAND_IN) == 2
    return entries


async def test_the_id_is_in_no_key_any_more(client: Any) -> None:
    await forgotten(client)
    held = await DocumentStore(client).load()
    assert held is not None
    record = held.as_record()
    assert record.applied_text is not None
    assert USER.encode() not in record.applied_text
    for key in await client.keys("*"):
        if await client.type(key) == b"stream":
            assert f'"{USER}"' not in str(await client.xrange(key))
        else:
            assert USER not in str(await client.hgetall(key))


async def test_entries_keep_their_ids_their_order_and_what_else_they_say(client: Any) -> None:
    before = await forgotten(client)
    own, *after = await Audit(client).entries()
    assert own.why.startswith(f"{STAND_IN} was forgotten")
    assert [entry.id for entry in after] == [entry.id for entry in before]
    assert after[0].why == f"{STAND_IN} asked to, not {USER}s"
    assert [(e.at, e.who, e.revision) for e in after] == [(e.at, e.who, e.revision) for e in before]
    assert after[0].before is not None
    assert set(after[0].before.experiments[EXPERIMENT].overrides) == {STAND_IN, "u-treatment"}
    assert any(STAND_IN in line for line in after[0].changes)


async def test_what_is_added_meanwhile_is_there(client: Any) -> None:
    store = DocumentStore(client)
    await change(store, None, parse_document(credit()), "a start")
    made = 0

    async def changes() -> None:
        nonlocal made
        while made < 30:
            now = await store.load()
            assert now is not None
            with contextlib.suppress(Conflict):
                document = forget_user(now.document, USER)
                await store.change(now, document, who="ramp", why=f"change {made}")
                made += 1

    await asyncio.gather(changes(), redact_user(client, DocumentStore(client), USER, STAND_IN))
    await redact_user(client, store, USER, STAND_IN)
    entries = await Audit(client).entries(limit=100)
    assert {f"change {number}" for number in range(30)} <= {entry.why for entry in entries}
    revisions = [entry.revision for entry in entries]
    assert revisions == list(range(revisions[0], 0, -1))
    assert all(USER not in str(entry.raw) for entry in entries)


async def test_of_users_who_are_forgotten_at_once_none_is_left_and_no_change_is_lost(client: Any) -> None:
    store = DocumentStore(client)
    users = [f"u-{number}" for number in range(4)]
    document = parse_document(credit(experiment={"overrides": dict.fromkeys(users, "control")}))
    held = await store.change(None, document, who="ann", why="a start")
    for number in range(120):  # several pages
        held = await store.change(held, document, who="ann", why=f"change {number}")
    await asyncio.gather(*(redact_user(client, store, user, f"forgotten-{user[2:]}") for user in users))
    entries = await Audit(client).entries(limit=500)
    assert [entry.why for entry in reversed(entries)] == ["a start", *(f"change {n}" for n in range(120))]
    assert not any(user in str(entry.raw) for entry in entries for user in users)


async def test_what_a_ramp_says_keeps_its_numbers(client: Any) -> None:
    store = DocumentStore(client)
    held = await store.change(None, parse_document(credit()), who="ann", why="50 asked for it")
    await store.change(held, parse_document(credit()), who="ramp", why="coverage rises to 50 %")
    await redact_user(client, store, "50", STAND_IN)
    whys = [entry.why for entry in await Audit(client).entries()]
    assert whys == ["coverage rises to 50 %", f"{STAND_IN} asked for it"]


async def test_an_id_that_the_file_writes_in_another_way_is_found(client: Any) -> None:
    store = DocumentStore(client)
    data = credit(experiment={"overrides": {"josé": "control"}})
    text = yaml.safe_dump(data).encode()
    assert "josé".encode() not in text
    await store.change(None, parse_document(data), who="ann", why="a start", text=text)
    await redact_user(client, store, "josé", STAND_IN)
    held = await store.load()
    assert held is not None
    assert b"jos" not in (held.as_record().applied_text or b"")


async def test_a_user_that_is_nowhere_changes_nothing(client: Any) -> None:
    store = DocumentStore(client)
    await change(store, None, parse_document(credit()), "a start")
    before = await client.xrange("ekiben:audit"), await client.hgetall("ekiben:experiments")
    assert await redact_user(client, store, "nobody", STAND_IN) == 0
    assert (await client.xrange("ekiben:audit"), await client.hgetall("ekiben:experiments")) == before
