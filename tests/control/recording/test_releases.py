"""Events of other releases: blocks and files with columns and kinds that this one does not know."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from msgspec.structs import asdict
from redis.asyncio import Redis

from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.forgetting import REQUESTS_KEY, Forgetting
from ekiben.control.recording.intake import BAD_BLOCKS_STREAM
from ekiben.control.recording.merging import Merging, merge
from ekiben.control.recording.ranges import EntryId, EventFile
from ekiben.control.recording.retention import Retention
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.state.streams.blocks import EVENTS_STREAM, OUTCOMES_STREAM, decode_block, encode_block, pack_block
from ekiben.state.streams.events import KINDS, Event
from ekiben.state.streams.former import FORMER_EXPOSURES_STREAM
from tests.control.recording.events import (
    DAY,
    NOON,
    Lease,
    add,
    exposure,
    forget_in_files,
    outcome,
    prediction,
    put_file,
    read,
    recorder,
    shadow,
)

MS = int(NOON * 1000)
MADE = {"exposure": exposure, "prediction": prediction, "shadow": shadow, "outcome": outcome}


def put_later(files: EventFiles, kind: str, first: int, event: Event) -> EventFile:
    """A file of a later release: it has a column more, and lacks the last one that this release has."""
    known = SCHEMAS[kind]
    schema = pa.schema([*list(known)[:-2], known.field("received_at"), pa.field("mood", pa.string())])
    row = asdict(event) | {"received_at": EntryId(first, 0).received_at, "mood": "good"}
    batch = pa.RecordBatch.from_pylist([{name: row[name] for name in schema.names}], schema=schema)
    file = EventFile(kind, DAY, EntryId(first, 0), EntryId(first, 0))
    files.publish(files.stage([batch], schema), file, Lease())
    return file


def put_unknown(files: EventFiles, kind: str, entry: int, **columns: str) -> EventFile:
    """A file with one event, named by its entry, of a kind that only a later release knows."""
    batch = pa.RecordBatch.from_pylist([{"event_id": str(entry), "received_at": entry / 1000} | columns])
    file = EventFile(kind, DAY, EntryId(entry, 0), EntryId(entry, 0))
    files.publish(files.stage([batch], batch.schema), file, Lease())
    return file


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("later_first", [True, False])
def test_files_with_a_column_more_are_read_with_those_of_today(
    any_files: EventFiles, kind: str, later_first: bool
) -> None:
    put_later(any_files, kind, MS if later_first else MS + 9, MADE[kind]("later"))
    put_file(any_files, kind, MS + 5, MS + 5, [(MS + 5, MADE[kind]("today"))])
    with DuckDBTables(any_files) as tables:
        table = tables.of(kind)
        assert table.columns == tuple(SCHEMAS[kind].names)
        rows = tables.rows(table.select("event_id", "prediction_id", "received_at"))
    expected = {event.event_id: event.prediction_id for event in map(MADE[kind], ("later", "today"))}
    assert {row["event_id"]: row["prediction_id"] for row in rows} == expected
    assert len(rows) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_merging_and_forgetting_keep_a_column_that_they_do_not_know(any_files: EventFiles, kind: str) -> None:
    later = put_later(any_files, kind, MS, MADE[kind]("later", user_hash="ann"))
    others = [(MS + 5, MADE[kind]("today", user_hash="ben")), (MS + 5, MADE[kind]("ann's", user_hash="ann"))]
    today = put_file(any_files, kind, MS + 5, MS + 5, others)
    merge(any_files, [later, today], Lease())
    ids = [event.event_id for event in map(MADE[kind], ("later", "today", "ann's"))]
    assert read(any_files, kind) == ids
    assert read(any_files, kind, "mood") == ["good", None, None]
    forget_in_files(any_files, "ben", Lease())
    assert read(any_files, kind) == [ids[0], ids[2]]
    assert read(any_files, kind, "mood") == ["good", None]


async def test_blocks_with_a_column_more_are_recorded_whole(redis: Redis, files: EventFiles) -> None:
    for kind, make in MADE.items():
        stream = OUTCOMES_STREAM if kind == "outcome" else EVENTS_STREAM
        later = asdict(make("later")) | {"mood": ["good"]}
        fields: dict[Any, Any] = dict(pack_block(kind, {kind: [later, asdict(make("later too"))]}))
        await redis.xadd(stream, fields)
    recording = recorder(redis, files)
    await recording.record_all()
    assert recording.bad_blocks == 0
    for kind, make in MADE.items():
        assert read(files, kind) == [make("later").event_id, make("later too").event_id]


def strange(name: str, user: str = "ann", **columns: Any) -> dict[str, Any]:
    """An event of a kind of a later release."""
    return {"event_id": name, "at": NOON, "user_hash": user, "colour": [1, 2]} | columns


async def add_strange(redis: Redis, name: str, **columns: Any) -> None:
    """A block with such an event, beside one that is known."""
    by_kind = {"exposure": [exposure(f"beside {name}")], "sale": [strange(name, **columns)]}
    fields: dict[Any, Any] = dict(pack_block("b", by_kind))
    await redis.xadd(EVENTS_STREAM, fields)


async def put_aside(redis: Redis) -> list[list[Any]]:
    """What each entry of the bad blocks holds of the kind `sale`."""
    blocks = [decode_block(fields) for _, fields in await redis.xrange(BAD_BLOCKS_STREAM)]
    assert [(block.events, list(block.unknown)) for block in blocks] == [({}, ["sale"])] * len(blocks)
    return [[msgspec.msgpack.decode(row) for row in block.unknown["sale"]] for block in blocks]


async def test_a_kind_of_a_later_release_costs_its_neighbours_nothing_and_a_round_puts_it_aside_at_once(
    redis: Redis, files: EventFiles, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        await add_strange(redis, str(number))
        await add(redis, [exposure(f"after {number}")])
    recording = recorder(redis, files)
    await recording.record_all()
    await recording.record_all()
    found = read(files, "exposure")
    assert found == [f"{where} {number}" for number in range(100) for where in ("beside", "after")]
    assert recording.bad_blocks == 100
    assert await put_aside(redis) == [[strange(str(number)) for number in range(100)]]
    assert await redis.xlen(EVENTS_STREAM) == 0
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("100 blocks of ekiben:events:2 put aside in ekiben:bad-blocks: events of a kind")


async def test_what_is_put_aside_together_is_no_more_than_a_megabyte_or_so(
    redis: Redis, files: EventFiles, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(8):
        await add_strange(redis, str(number), noise="x" * 400_000)
    await recorder(redis, files).record_all()
    together = [[int(event["event_id"]) for event in block] for block in await put_aside(redis)]
    assert together == [[0, 1], [2, 3, 4], [5, 6], [7]]
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


async def test_without_memory_for_kinds_of_a_later_release_all_of_them_stay_and_are_put_aside_later(
    redis: Redis, files: EventFiles
) -> None:
    recording = recorder(redis, files)
    await recording.record_all()
    for name in "ab":
        await add_strange(redis, name)
    await redis.config_set("maxmemory", "1")
    await recording.record_all()
    assert await redis.xlen(EVENTS_STREAM) == 2
    await redis.config_set("maxmemory", "0")
    await recording.record_all()
    assert await put_aside(redis) == [[strange("a"), strange("b")]]
    assert read(files, "exposure") == ["beside a", "beside b"]
    assert await redis.xlen(EVENTS_STREAM) == 0


async def test_of_what_was_put_aside_together_a_user_who_is_forgotten_loses_only_their_own(
    redis: Redis, files: EventFiles
) -> None:
    await add_strange(redis, "ben's", user="ben")
    await add_strange(redis, "ann's")
    await add_strange(redis, "ann's by prediction", user=None, prediction_id="p-known")
    await add(redis, [exposure("known", "ann")])
    await recorder(redis, files).record_all()
    await redis.hset(REQUESTS_KEY, "r", "ann")  # type: ignore[misc]
    await Forgetting(redis, files, Lease(), lambda: None).do_requests()
    assert await put_aside(redis) == [[strange("ben's", "ben")]]


async def test_files_of_a_kind_of_a_later_release_are_merged_forgotten_and_removed_with_the_others(
    files: EventFiles,
) -> None:
    put = [
        put_unknown(files, "sale", MS + number, user_hash=user) for number, user in enumerate(("ann", "ben"))
    ]
    merge(files, put, Lease())
    assert read(files, "sale") == [str(MS), str(MS + 1)]
    forget_in_files(files, "ann", Lease())
    assert read(files, "sale") == [str(MS + 1)]
    put_file(files, "outcome", MS + 9 * 86_400_000, MS + 9 * 86_400_000, [], DAY.replace(month=12))
    Retention(files, 1).remove_expired(NOON + 9 * 86_400, Lease(), None)
    assert files.list("sale") == []


async def test_a_kind_of_a_later_release_that_tells_only_the_prediction_is_forgotten_and_leads_to_outcomes(
    files: EventFiles,
) -> None:
    for kind in ("another", "zero"):  # by name before and after those that hold the user's predictions
        for number, event in enumerate(("a", "b")):
            put_unknown(files, kind, MS + number, prediction_id=f"p-{event}")
    put_unknown(files, "middle", MS, user_hash="ann", prediction_id="p-m")
    put_file(files, "exposure", MS, MS, [(MS, exposure("a", "ann")), (MS, exposure("b", "ben"))])
    put_file(files, "outcome", MS, MS, [(MS, outcome(name, prediction_id=f"p-{name}")) for name in "abm"])
    forget_in_files(files, "ann", Lease())
    assert read(files, "another") == read(files, "zero") == [str(MS + 1)]
    assert read(files, "middle") == []
    assert read(files, "outcome") == ["b"]


@pytest.mark.parametrize("inside", [{12, 13}, {10, 11, 16, 17}, {11, 13, 15, 17}])
async def test_both_generations_of_streams_are_recorded_side_by_side_though_their_ids_interleave(
    redis: Redis, files: EventFiles, inside: set[int]
) -> None:
    # A range of the one generation lies inside a range of the other: neither may hide the other.
    for entry in range(10, 18):
        stream = FORMER_EXPOSURES_STREAM if entry in inside else EVENTS_STREAM
        fields: dict[Any, Any] = dict(encode_block(str(entry), [exposure(f"e-{entry}")]))
        await redis.xadd(stream, fields, id=f"{MS + entry}-0")
    await recorder(redis, files).record_all()
    assert not files.readable("exposure").overlapping
    merging = Merging(files, Lease())
    for passed in (0.0, 3 * 86_400.0, 3 * 86_400.0 + 61):
        assert sorted(file.generation for file in files.list("exposure")) == [1, 2]
        with DuckDBTables(files) as tables:
            rows = tables.rows(tables.of("exposure").select("event_id"))
        assert sorted(row["event_id"] for row in rows) == [f"e-{entry}" for entry in range(10, 18)]
        merging.merge_all(NOON + passed)


async def test_streams_of_30e8d9b_are_not_made_where_there_are_none(redis: Redis, files: EventFiles) -> None:
    recording = recorder(redis, files)
    await recording.record_all()
    assert not await redis.exists(FORMER_EXPOSURES_STREAM)
    assert recording.lag_s is not None
