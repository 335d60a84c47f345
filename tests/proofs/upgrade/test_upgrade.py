"""What 30e8d9b left behind (`data/`, made by `make.py`) is taken over: nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ekiben.control.analysis.analysing import analyse
from ekiben.control.analysis.shadow import shadow_reports
from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.merging import Merging
from ekiben.control.recording.recorder import Recorder
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from ekiben.process.tasks import end_tasks
from ekiben.state.beats import SEEN_KEY, WORKERS_KEY
from ekiben.state.documents.document import DocumentStore, Stored, dump_document
from ekiben.state.streams.events import KINDS
from ekiben.state.streams.former import FORMER_EXPOSURES_STREAM, FORMER_OUTCOMES_STREAM
from ekiben.state.user import user_hash
from router.records.events import IdMaker, RedisEvents
from router.records.metrics import Metrics
from router.records.outcome_writer import OutcomeWriter
from tests.control.recording.events import Lease, exposure, forget_in_files, shadow
from tests.proofs.upgrade.station import SALT
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT
from tests.router.records.test_outcome_writer import outcome
from tests.state.reading import events_in

DATA = Path(__file__).parent / "data"
IDS = json.loads((DATA / "ids.json").read_text())
FORMER = {kind: IDS[kind] for kind in ("exposure", "shadow", "outcome")}
NAMES = {kind: name for name, kind in KINDS.items()}
LATER = IDS["made_at"] + 3 * 86_400.0


@pytest.fixture
async def state() -> AsyncIterator[Redis]:
    """Redis as 30e8d9b left it."""
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        shutil.copy(DATA / "dump.rdb", folder)
        server = RedisServer(Path(folder), "r")
        await server.start()
        async with server.client() as client:
            yield client
        server.kill()


@pytest.fixture
def files(tmp_path: Path) -> EventFiles:
    """The files as 30e8d9b left them."""
    shutil.copytree(DATA / "events", tmp_path / "events")
    return EventFiles(str(tmp_path / "events"))


def recorded(files: EventFiles) -> dict[str, list[str]]:
    """The ids of each kind, as the analysis reads them."""
    with DuckDBTables(files) as tables:
        found = {kind: tables.of(kind) for kind in ("exposure", "shadow", "outcome")}
        return {
            kind: sorted(str(row["event_id"]) for row in tables.rows(table.select("event_id")))
            for kind, table in found.items()
        }


def ids(**more: list[str]) -> dict[str, list[str]]:
    return {kind: sorted([*FORMER[kind], *more.get(kind, [])]) for kind in FORMER}


async def test_what_its_streams_hold_is_recorded_once_and_what_it_had_recorded_is_not_recorded_again(
    state: Redis, files: EventFiles
) -> None:
    assert sum([await state.xlen(key) for key in (FORMER_EXPOSURES_STREAM, FORMER_OUTCOMES_STREAM)]) > 2
    recording = Recorder(state, files, Lease())
    await recording.record_all()
    assert recorded(files) == ids()
    assert recording.bad_blocks == 0
    # Its recorder had written 5 exposures that it did not acknowledge any more.
    assert recording.recorded["exposure"] == 20
    for key in (FORMER_EXPOSURES_STREAM, FORMER_OUTCOMES_STREAM):
        assert await state.xlen(key) == 0


async def test_while_its_routers_and_new_ones_write_every_event_is_recorded_once(
    state: Redis, files: EventFiles
) -> None:
    # Its routers go on: what its streams held comes in again bit by bit, as they would bring it.
    held = {key: await state.xrange(key) for key in (FORMER_EXPOSURES_STREAM, FORMER_OUTCOMES_STREAM)}
    first = Recorder(state, files, Lease())
    await first.record_all()
    before = recorded(files)
    metrics = Metrics()
    events = RedisEvents(state, metrics, 1 << 30, IdMaker())
    writer = OutcomeWriter(state, b"salt", metrics, IdMaker())
    tasks = [asyncio.create_task(writer.run())]
    recording = Recorder(state, files, Lease(), every_s=0.005)
    tasks.append(asyncio.create_task(recording.run()))
    fresh = 0
    for key, entries in held.items():
        for _, fields in entries:
            fresh += 1
            await state.xadd(key, fields)  # with the ids of events that are recorded: these are counted twice
            events.add(exposure(f"new-{fresh}"))
            events.add(shadow(f"new-{fresh}"))
            await events.flush()
            await writer.write([outcome(fresh, id=f"new-{fresh}")])
            await asyncio.sleep(0.01)
    await end_tasks(*tasks, again_s=11)
    expected = {kind: Counter(found) for kind, found in before.items()}
    for event in (event for entries in held.values() for event in events_in(entries)):
        if (kind := NAMES[type(event)]) in expected:
            expected[kind][event.event_id] += 1
    for number in range(1, fresh + 1):
        expected["exposure"][f"new-{number}"] += 1
        expected["shadow"][f"new-{number}.v3"] += 1
        expected["outcome"][f"new-{number}"] += 1
    assert {kind: Counter(found) for kind, found in recorded(files).items()} == expected


async def test_its_files_are_merged_with_new_ones_and_a_user_is_forgotten_in_both(
    state: Redis, files: EventFiles
) -> None:
    await Recorder(state, files, Lease()).record_all()
    merging = Merging(files, Lease())
    for passed in (0.0, 61.0, 122.0):
        merging.merge_all(LATER + passed)
    assert {kind: len(files.list(kind)) for kind in FORMER} == dict.fromkeys(FORMER, 1)
    assert recorded(files) == ids()
    forgotten = forget_in_files(files, user_hash(SALT.encode(), "u-0"), Lease())
    assert (forgotten.exposures, forgotten.shadows, forgotten.outcomes) == (1, 1, 1)
    assert recorded(files)["exposure"] == sorted(FORMER["exposure"][1:])


async def test_reports_read_what_it_wrote(state: Redis, files: EventFiles) -> None:
    await Recorder(state, files, Lease()).record_all()
    stored = await _stored(state)
    with DuckDBTables(files) as tables:
        shadows = shadow_reports(tables, stored, IDS["made_at"])
        report = analyse(tables, EXPERIMENT, stored, LATER)
        captured = tables.rows(tables.of("prediction").select("event_id", "depth", "weight", "features"))
    assert sum(each.compared for each in shadows) == len(FORMER["shadow"])
    assert {each.agreement for each in shadows} == {1.0}
    assert all(0 < each.against_latency_ms["p50"] < 60_000 for each in shadows)
    assert sum(each.users for each in report.variants) == len(FORMER["exposure"])
    # Half of the features were captured; those that were recorded by 30e8d9b stay a column of its exposures.
    assert all(row["depth"] == "features" and row["weight"] is None for row in captured)
    assert 0 < len(captured) < 20


async def _stored(state: Redis) -> Stored:
    stored = await DocumentStore(state).load()
    assert stored is not None
    return stored


async def test_its_document_is_read_and_gets_a_new_key_when_none_of_its_routers_is_left(state: Redis) -> None:
    store, (worker,) = DocumentStore(state), await state.hkeys(WORKERS_KEY)
    held = await _stored(state)
    assert held.document.experiments[EXPERIMENT].status == "running"
    data = dump_document(held.document)
    data["models"]["credit"]["capture"] = {"per_second": 5}
    wanted = parse_document(data)
    await state.zadd(SEEN_KEY, {worker: (await state.time())[0]})  # it beats
    with pytest.raises(DocumentError, match="routers of an earlier release run"):
        await store.check(held, wanted)
    await state.zrem(SEEN_KEY, worker)
    await store.check(held, wanted)
    changed = await store.change(held, wanted, who="test", why="upgraded")
    assert (await _stored(state)).revision == changed.revision == held.revision + 1
