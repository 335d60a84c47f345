"""The audit stream of a real Redis, read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis

from ekiben.experiments.changes import edits
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Ramp
from ekiben.experiments.parsing import parse_document
from ekiben.state.connecting import StateUnavailable, open_state
from ekiben.state.documents.audit import Audit
from ekiben.state.documents.audit_index import AuditIndex
from ekiben.state.documents.document import AUDIT_STREAM, DocumentStore, Stored, dump_document
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit_document

DRAFT = credit_document(experiment={"status": "draft"})


@pytest.fixture
async def client(redis: RedisServer) -> AsyncIterator[Redis]:
    client = open_state(redis.url)
    yield client
    await client.aclose()


async def test_a_change_is_read_back_with_who_when_why_before_after_and_its_lines(client: Redis) -> None:
    store = DocumentStore(client)
    first = await store.change(None, DRAFT, who="me", why="first")
    started = act("start", DRAFT, EXPERIMENT)
    await store.change(first, started, who="you", why="it is time")
    newest, oldest = await Audit(client).entries()
    assert (newest.who, newest.why, newest.revision, newest.lineage) == (
        "you",
        "it is time",
        2,
        first.lineage,
    )
    assert (newest.before, newest.after) == (DRAFT, started)
    assert newest.changes == (f"experiments.{EXPERIMENT}.status: draft → running",)
    assert newest.at >= oldest.at > 1.7e9
    assert oldest.before is None
    assert [line.split(": ")[1].split()[0] for line in oldest.changes] == ["added", "added"]


async def test_more_than_a_page_is_read_newest_first_and_page_by_page(client: Redis) -> None:
    store = DocumentStore(client)
    held = await store.change(None, DRAFT, who="me", why="1")
    for number in range(2, 121):
        held = await store.change(held, DRAFT, who="me", why=str(number))
    audit = Audit(client)
    everything = await audit.entries(limit=1000)
    assert [entry.why for entry in everything] == [str(number) for number in range(120, 0, -1)]
    first = await audit.entries(limit=7)
    second = await audit.entries(limit=7, before=first[-1].id)
    assert [entry.why for entry in first + second] == [str(number) for number in range(120, 106, -1)]
    assert [entry.revision for entry in await audit.since(held.lineage, 117)] == [120, 119, 118]
    assert await audit.since(held.lineage, 120) == []


async def test_what_is_older_than_any_entry_or_newer_than_all_can_be_asked_for(client: Redis) -> None:
    await DocumentStore(client).change(None, DRAFT, who="me", why="first")
    audit = Audit(client)
    (only,) = await audit.entries()
    ms, sequence = only.id.split("-")
    for before, found in (
        ("0-0", 0), ("0-1", 0), ("5-0", 0), (only.id, 0), (f"{ms}-{int(sequence) + 1}", 1),
        (f"{int(ms) + 1}-0", 1), ("99999999999999999999-0", 1), ("0-99999999999999999999", 1),
    ):  # fmt: skip
        assert len(await audit.entries(before=before)) == found, before


async def test_the_changes_of_one_experiment_are_its_own(client: Redis) -> None:
    store = DocumentStore(client)
    held = await store.change(None, DRAFT, who="me", why="first")
    model = DRAFT.models["credit"].model_copy(update={"timeout_ms": 1})
    held = await store.change(
        held, DRAFT.model_copy(update={"models": {"credit": model}}), who="me", why="not"
    )
    await store.change(held, act("start", held.document, EXPERIMENT), who="me", why="start")
    assert [entry.why for entry in await Audit(client).entries(experiment=EXPERIMENT)] == ["start", "first"]
    assert await Audit(client).entries(experiment="another") == []


async def test_a_step_begins_with_the_last_change_of_status_coverage_phase_or_ramp(client: Redis) -> None:
    store, audit = DocumentStore(client), Audit(client)
    held = await store.change(None, DRAFT, who="me", why="first")
    assert await audit.step("another") is None
    widened: list[float] = []
    for document in (
        act("start", DRAFT, EXPERIMENT),
        edits.set_coverage(act("start", DRAFT, EXPERIMENT), EXPERIMENT, 10),
        act("ramp", act("start", DRAFT, EXPERIMENT), EXPERIMENT, **Ramp(steps=(10.0,)).model_dump()),
    ):
        held = await store.change(held, document, who="me", why="a step")
        (newest,) = await audit.entries(limit=1)
        step = await audit.step(EXPERIMENT)
        assert step is not None
        assert step.began == newest.at
        widened.append(step.widened)
    began = newest.at
    assert widened[0] < widened[1] < widened[2] == began
    await store.change(
        held, act("acknowledge", held.document, EXPERIMENT, model_versions=["x"]), who="me", why="no step"
    )
    step = await audit.step(EXPERIMENT)
    assert step is not None
    assert step.began == began


async def test_a_document_of_another_release_is_still_told_in_lines(client: Redis) -> None:
    entry = {"at": "1700000000.5", "who": "me", "why": "old", "lineage": "a", "revision": "3"}
    before, after = ({"models": {}, "experiments": {"e": {"power": power}}} for power in (1, 2))
    await client.xadd(AUDIT_STREAM, {**entry, "before": orjson.dumps(before), "after": orjson.dumps(after)})
    (read,) = await Audit(client).entries()
    assert (read.at, read.before, read.after) == (1700000000.5, None, None)
    assert read.changes == ("experiments.e.power: 1 → 2",)


async def test_a_redis_that_is_away_is_state_unavailable(client: Redis, redis: RedisServer) -> None:
    redis.kill()
    with pytest.raises(StateUnavailable):
        await Audit(client).entries()


async def fill(client: Redis, count: int, step: int) -> None:
    """An audit of `count` changes, of which each `step`th touches the experiment, as old ones do."""
    document = orjson.dumps({"models": {}, "experiments": {EXPERIMENT: {"coverage": 1}}})
    other = orjson.dumps({"models": {"m": {}}, "experiments": {EXPERIMENT: {"coverage": 1}}})
    changed = orjson.dumps({"models": {}, "experiments": {EXPERIMENT: {"coverage": 2}}})
    pipeline = client.pipeline(transaction=False)
    for number in range(count):
        after = changed if number % step == 0 else other
        fields = {"who": "x", "why": str(number), "lineage": "l", "revision": number, "at": "1.0"}
        pipeline.xadd(AUDIT_STREAM, fields | {"before": document, "after": after}, id=f"{number + 1}-0")
    await pipeline.execute()


async def calls(client: Redis) -> int:
    """How often the audit was read so far."""
    stats = await client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("xrange", "xrevrange"))


async def found(index: AuditIndex, before: str = "") -> list[str]:
    return [entry async for entry in index.newest_first(EXPERIMENT, before)]


async def test_the_audit_is_read_once_whatever_is_asked_how_often(client: Redis) -> None:
    await fill(client, 501, 100)
    index = AuditIndex(client, AUDIT_STREAM)
    expected = [f"{number}-0" for number in (501, 401, 301, 201, 101, 1)]
    assert await found(index) == expected
    read = await calls(client)
    assert await found(index) == expected
    assert await found(index, before="301-0") == expected[3:]
    assert [entry async for entry in index.newest_first("never-was")] == []
    assert await calls(client) <= read + 3  # each looks for what is new, and for nothing else


async def test_those_who_ask_at_once_read_it_together_and_one_who_leaves_stops_nobody(client: Redis) -> None:
    await fill(client, 1001, 100)
    index = AuditIndex(client, AUDIT_STREAM)
    before = await calls(client)
    asking = [asyncio.create_task(found(index)) for _ in range(10)]
    await asyncio.sleep(0)
    asking[0].cancel()
    answers = await asyncio.gather(*asking[1:])
    assert {len(answer) for answer in answers} == {11}
    assert await calls(client) - before < 50


async def test_what_is_added_later_comes_first_and_what_is_gone_is_left_out(client: Redis) -> None:
    store = DocumentStore(client)
    held = await store.change(None, DRAFT, who="me", why="first")
    audit = Audit(client)
    assert [entry.why for entry in await audit.entries(experiment=EXPERIMENT)] == ["first"]
    held = await store.change(held, act("start", DRAFT, EXPERIMENT), who="me", why="start")
    await store.change(held, act("pause", held.document, EXPERIMENT), who="me", why="pause")
    entries = await audit.entries(experiment=EXPERIMENT)
    assert [entry.why for entry in entries] == ["pause", "start", "first"]
    await client.xdel(AUDIT_STREAM, entries[1].id)
    assert [entry.why for entry in await audit.entries(experiment=EXPERIMENT)] == ["pause", "first"]


async def test_an_experiment_that_never_was_is_unknown_without_reading_the_audit(client: Redis) -> None:
    store = DocumentStore(client)
    held = await store.change(None, DRAFT, who="me", why="first")
    await store.change(held, act("start", DRAFT, EXPERIMENT), who="me", why="start")
    await fill_after(client, 500)
    before = await calls(client)
    audit = Audit(client)
    assert not await audit.knows("never-was")
    assert await audit.knows(EXPERIMENT)
    assert await calls(client) == before


async def fill_after(client: Redis, count: int) -> None:
    """Copies of the newest change, after it."""
    ((_, fields),) = await client.xrevrange(AUDIT_STREAM, count=1)  # type: ignore[misc]
    pipeline = client.pipeline(transaction=False)
    for _ in range(count):
        pipeline.xadd(AUDIT_STREAM, fields)  # type: ignore[arg-type]
    await pipeline.execute()


async def test_changes_of_the_rule_are_those_since_the_phase_began(client: Redis) -> None:
    store, audit = DocumentStore(client), Audit(client)
    data = dump_document(DRAFT)

    async def put(held: Stored | None, **changed: object) -> Stored:
        data["experiments"][EXPERIMENT].update(changed)  # type: ignore[index]
        return await store.change(held, parse_document(data), who="ada", why="a change")

    held = await put(None, alpha=0.01)
    held = await put(held, alpha=0.02)  # a draft's is no matter
    held = await put(held, status="running")
    held = await put(held, alpha=0.1)
    held = await put(held, coverage=7)
    held = await put(held, min_users=50)
    (users, alpha) = await audit.rule_changes(EXPERIMENT)
    assert (alpha.lines, users.lines) == (("alpha: 0.02 → 0.1",), ("min_users: 500 → 50",))
    assert alpha.who == "ada"
    await put(held, phase=2, seed="another", alpha=0.3)
    assert await audit.rule_changes(EXPERIMENT) == ()
