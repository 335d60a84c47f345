"""What a process does when Redis holds another document than it knew: each row of a table, real Redis."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ekiben.experiments.changes import edits
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.state.connecting import Unreadable, open_state
from ekiben.state.documents.audit import Audit
from ekiben.state.documents.document import DOCUMENT_KEY, DocumentStore, Stored, read_record
from ekiben.state.documents.held import HeldDocument
from ekiben.state.documents.record import Record
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit

BEGIN = parse_document(credit(experiment={"coverage": 50}))


class Scene:
    """A Redis, and a process that knows what was in it last."""

    def __init__(self, redis: RedisServer, folder: Path) -> None:
        self.redis = redis
        self.client = open_state(redis.url)
        self.store = DocumentStore(self.client)
        self.held = HeldDocument(DocumentStore(self.client), folder / "copy.json")

    async def change(self, document: Document, why: str = "test") -> Stored:
        return await self.store.change(await self.store.load(), document, who="somebody", why=why)

    async def know(self) -> Record:
        record = await self.held.load()
        assert record is not None
        self.held.take(record)
        await self.held.keep()
        return record

    async def experiment(self) -> Any:
        record = await self.know()
        return read_record(record).document.experiments[EXPERIMENT]

    async def put(self, record: Record) -> None:
        """Redis as it was, or as another one is."""
        await self.client.delete(DOCUMENT_KEY)
        await self.client.hset(DOCUMENT_KEY, mapping=record.fields())  # type: ignore[misc, arg-type]


@pytest.fixture
async def scene(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(redis, tmp_path)
    await scene.change(BEGIN)
    yield scene
    await scene.client.aclose()


async def test_what_redis_has_lost_wholly_is_put_back(scene: Scene) -> None:
    known = await scene.know()
    await scene.client.flushall()
    assert await scene.know() == known
    assert await scene.store.load_record() == known


async def test_what_was_known_before_a_restart_is_put_back_too(scene: Scene, tmp_path: Path) -> None:
    known = await scene.know()
    await scene.client.flushall()
    later = HeldDocument(scene.store, tmp_path / "copy.json")
    assert await later.load() == known


async def test_another_lineage_is_taken_and_not_undone(scene: Scene) -> None:
    await scene.know()
    await scene.client.delete(DOCUMENT_KEY)
    restored = await scene.store.change(None, act("pause", BEGIN, EXPERIMENT), who="restore", why="backup")
    assert (await scene.know()).lineage == restored.lineage
    assert (await scene.experiment()).status == "paused"


async def test_what_came_of_what_was_known_is_taken(scene: Scene) -> None:
    await scene.know()
    await scene.change(edits.set_coverage(BEGIN, EXPERIMENT, 60))
    await scene.change(edits.set_coverage(BEGIN, EXPERIMENT, 70))
    assert (await scene.experiment()).coverage == 70


async def test_revisions_that_redis_lost_are_put_back_with_what_a_person_stopped(scene: Scene) -> None:
    first = await scene.know()
    await scene.change(act("roll-back", BEGIN, EXPERIMENT))
    known = await scene.know()
    await scene.put(first)  # a replica that lagged
    assert (await scene.experiment()).status == "rolled_back"
    assert await scene.store.load_record() == known


@pytest.mark.parametrize("busy", [0, 1, 5])
async def test_a_fork_keeps_what_a_person_stopped_whoever_was_busier(
    scene: Scene, busy: int, caplog: pytest.LogCaptureFixture
) -> None:
    first = await scene.know()
    for step in (60, 70):
        await scene.change(edits.set_coverage(BEGIN, EXPERIMENT, step))
    await scene.know()  # revision 3, where the experiment runs
    await scene.put(first)  # a replica that lagged at revision 1 …
    await scene.change(act("roll-back", BEGIN, EXPERIMENT), "it went wrong")  # … on which somebody acts
    for number in range(busy):
        await scene.change(edits.shadow(act("roll-back", BEGIN, EXPERIMENT), "credit", "v3", number + 1))
    with caplog.at_level(logging.ERROR):
        assert (await scene.experiment()).status == "rolled_back"
    assert "two histories were joined" in caplog.text
    entry = (await Audit(scene.client).entries(1))[0]
    assert (entry.who, "the safer state" in entry.why) == ("ekiben", True)
    record = await scene.store.load_record()
    assert record is not None
    assert record.revision > 3
    assert "rolled back" in record.joined


async def test_the_stop_is_kept_when_it_is_on_the_side_that_redis_lost(scene: Scene) -> None:
    first = await scene.know()
    await scene.change(act("pause", BEGIN, EXPERIMENT))
    await scene.know()
    await scene.put(first)
    await scene.change(edits.set_coverage(BEGIN, EXPERIMENT, 90))
    experiment = await scene.experiment()
    assert (experiment.status, experiment.coverage) == ("paused", 50)


async def test_whoever_knew_either_side_takes_the_joined_document(scene: Scene, tmp_path: Path) -> None:
    first = await scene.know()
    other = HeldDocument(DocumentStore(scene.client), tmp_path / "other.json")
    await scene.change(act("pause", BEGIN, EXPERIMENT))
    one = await scene.know()
    other.take(one)
    await scene.put(first)
    await scene.change(edits.set_coverage(BEGIN, EXPERIMENT, 90))
    joined = await scene.know()
    assert await other.load() == joined
    assert await scene.held.load() == joined
    assert len(await Audit(scene.client).entries(50)) == 4


async def test_a_document_of_a_newer_schema_is_not_read_and_not_replaced(scene: Scene) -> None:
    known = await scene.know()
    await scene.client.hset(DOCUMENT_KEY, mapping={"schema": "2", "revision": "9"})  # type: ignore[misc]
    record = await scene.store.load_record()
    assert record is not None
    with pytest.raises(Unreadable, match="schema 2, written by a newer release"):
        read_record(record)
    with pytest.raises(Unreadable):
        await scene.store.load()
    assert (await scene.held.load() or known).revision == 9


async def test_a_document_of_30e8d9b_is_read_and_goes_on(scene: Scene) -> None:
    held = await scene.client.hgetall(DOCUMENT_KEY)  # type: ignore[misc]
    old = {name: held[name] for name in (b"lineage", b"revision", b"applied", b"document")}
    await scene.client.delete(DOCUMENT_KEY)
    await scene.client.hset(DOCUMENT_KEY, mapping=old)  # type: ignore[misc]
    await scene.know()
    # 30e8d9b changes it: what it does not know of stays as it was, and is not believed.
    await scene.change(edits.set_coverage(BEGIN, EXPERIMENT, 60))
    data = edits.set_coverage(BEGIN, EXPERIMENT, 70).model_dump_json(by_alias=True, exclude_defaults=True)
    await scene.client.hset(DOCUMENT_KEY, mapping={"revision": "3", "document": data})  # type: ignore[misc]
    record = await scene.know()
    assert record.routing == b""
    assert (await scene.experiment()).coverage == 70
    assert {b"lineage", b"revision", b"applied", b"document"} <= set(await scene.client.hgetall(DOCUMENT_KEY))  # type: ignore[misc]
