"""From a stream entry to the rows of event files."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from ekiben.control.recording.files import SCHEMA, STREAM_KINDS
from ekiben.control.recording.ranges import EntryId
from ekiben.state.streams.blocks import COLUMNS, BadBlock, Event, decode_block

_KIND: Final = COLUMNS.index("kind")


def entry_batches(stream: str, entry: EntryId, fields: dict[bytes, bytes]) -> dict[str, Any]:
    """A record batch of `SCHEMA` for each kind of event in a stream entry, in the order they came in.

    Raises `BadBlock`, also for values that do not fit their column: one such value spoils its block.
    """
    _, events = decode_block(fields)
    try:
        by_kind: dict[str, list[Event]] = {}
        for event in events:
            by_kind.setdefault(event[_KIND], []).append(event)
        if strange := by_kind.keys() - set(STREAM_KINDS[stream]):
            raise BadBlock(f"events of kind {strange.pop()!r} in {stream}")
        return {kind: _batch(rows, entry.received_at) for kind, rows in by_kind.items()}
    except BadBlock:
        raise
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BadBlock(f"a value that does not fit its column: {error}") from error


def _batch(rows: list[Event], received_at: float) -> Any:
    columns = [*zip(*rows, strict=True), [received_at] * len(rows)]
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
    )
