"""Events, blocks and files for the tests of recording."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import pyarrow as pa
from redis.asyncio import Redis

from ekiben.control.recording.files import SCHEMA, EventFiles
from ekiben.control.recording.ranges import EntryId, EventFile
from ekiben.control.recording.recorder import Recorder
from ekiben.state.streams.blocks import COLUMNS, EXPOSURES_STREAM, OUTCOMES_STREAM, Event, encode_block

DAY = date(2026, 11, 21)
NOON = 1_795_262_400.0  # of that day, UTC
_numbers = itertools.count()


def event(kind: str, event_id: str, **columns: Any) -> Event:
    """An event with these columns and None for the others."""
    row = {"event_id": event_id, "at": NOON, "kind": kind} | columns
    return tuple(row.get(name) for name in COLUMNS)


def exposure(event_id: str, user: str = "u-1", **columns: Any) -> Event:
    return event(
        "exposure", event_id, user_hash=user, prediction_id=f"p-{event_id}", phase=1, cached=False, **columns
    )


def shadow(event_id: str, **columns: Any) -> Event:
    return event("shadow", f"{event_id}.v3", prediction_id=f"p-{event_id}", **columns)


def outcome(event_id: str, **columns: Any) -> Event:
    return event("outcome", event_id, **{"name": "profit", "value": 1.0} | columns)


async def add(redis: Redis, events: Sequence[Event]) -> EntryId:
    """Add a block of events to the stream that they belong to."""
    stream = OUTCOMES_STREAM if events[0][COLUMNS.index("kind")] == "outcome" else EXPOSURES_STREAM
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
    file = next(
        file
        for kind in ("exposure", "shadow", "outcome")
        for file in files.list(kind)
        if path.endswith(file.path)
    )
    with files.open(file) as opened:
        values: list[Any] = opened.read().column(column).to_pylist()
    return values


def put_file(
    files: EventFiles, kind: str, first: int, last: int, events: Iterable[tuple[int, Event]], day: date = DAY
) -> EventFile:
    """A file of the entries `first` to `last` (milliseconds), each event with the entry it came in."""
    rows = [
        dict(zip(COLUMNS, row, strict=True)) | {"received_at": EntryId(entry, 0).received_at}
        for entry, row in events
    ]
    file = EventFile(kind, day, EntryId(first, 0), EntryId(last, 0))
    files.publish(files.stage([pa.RecordBatch.from_pylist(rows, schema=SCHEMA)]), file, Lease())
    return file
