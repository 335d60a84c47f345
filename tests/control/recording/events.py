"""Events, blocks and files for the tests of recording."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
from msgspec.structs import asdict
from redis.asyncio import Redis

from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.forgetting import Forgotten, find_theirs
from ekiben.control.recording.ranges import EventFile
from ekiben.control.recording.recorder import Recorder
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.state.entry_id import EntryId
from ekiben.state.streams.blocks import EVENTS_STREAM, OUTCOMES_STREAM, encode_block
from ekiben.state.streams.events import Event, Exposure, Outcome, Prediction, ShadowAnswer

DAY = date(2026, 11, 21)
NOON = 1_795_262_400.0  # of that day, UTC
_numbers = itertools.count()


def exposure(event_id: str, user: str = "u-1", **columns: Any) -> Exposure:
    given = {"at": NOON, "user_hash": user, "prediction_id": f"p-{event_id}", "phase": 1, "cached": False}
    return Exposure(event_id, **given | columns)


def prediction(event_id: str, user: str | None = "u-1", **columns: Any) -> Prediction:
    given = {
        "at": NOON,
        "user_hash": user,
        "prediction_id": f"p-{event_id}",
        "depth": "scores",
        "weight": 1.0,
    }
    return Prediction(f"{event_id}.scores", **{"weight": 1.0} | given | columns)


def shadow(event_id: str, **columns: Any) -> ShadowAnswer:
    return ShadowAnswer(f"{event_id}.v3", **{"at": NOON, "prediction_id": f"p-{event_id}"} | columns)


def outcome(event_id: str, **columns: Any) -> Outcome:
    return Outcome(event_id, **{"at": NOON, "name": "profit", "value": 1.0} | columns)


async def add(redis: Redis, events: Sequence[Event]) -> EntryId:
    """Add a block of events to the stream that they belong to."""
    stream = OUTCOMES_STREAM if isinstance(events[0], Outcome) else EVENTS_STREAM
    fields: dict[Any, Any] = dict(encode_block(f"b-{next(_numbers)}", events))
    return EntryId.parse(await redis.xadd(stream, fields))


class Lease:
    """The right to act, given and taken by the test."""

    def __init__(self, mine: bool = True) -> None:
        self.mine = mine

    def held(self) -> bool:
        return self.mine


def recorder(redis: Redis, files: EventFiles, lease: Lease | None = None, **options: Any) -> Recorder:
    return Recorder(redis, files, lease or Lease(), every_s=0.02, **options)


def read(files: EventFiles, kind: str, column: str = "event_id") -> list[Any]:
    """A column of every event of a kind, in stream order, as a reader sees it that reduces nothing."""
    readable = files.readable(kind)
    return [
        value
        for path in sorted(readable.clean + readable.overlapping, key=lambda path: path.rsplit("/", 1)[-1])
        for value in read_path(files, path, column)
    ]


def read_path(files: EventFiles, path: str, column: str = "event_id") -> list[Any]:
    file = next(file for kind in files.kinds() for file in files.list(kind) if path.endswith(file.path))
    with files.open(file) as opened:
        values: list[Any] = opened.read().column(column).to_pylist()
    return values


def put_file(
    files: EventFiles, kind: str, first: int, last: int, events: Iterable[tuple[int, Event]], day: date = DAY
) -> EventFile:
    """A file of the entries `first` to `last` (milliseconds), each event with the entry it came in."""
    rows = [asdict(row) | {"received_at": EntryId(entry, 0).received_at} for entry, row in events]
    file = EventFile(kind, day, EntryId(first, 0), EntryId(last, 0))
    schema = SCHEMAS[kind]
    files.publish(files.stage([pa.RecordBatch.from_pylist(rows, schema=schema)], schema), file, Lease())
    return file


def forget_in_files(files: EventFiles, user_hash: str, lease: Lease) -> Forgotten:
    """Remove the user's events from every file."""
    theirs = find_theirs(files, user_hash, lease)
    theirs.remove(files, lease)
    return theirs.counted
