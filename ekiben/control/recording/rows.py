"""From a stream entry to the rows of event files."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from ekiben.control.recording.schemas import SCHEMAS
from ekiben.control.recording.streams import Stream
from ekiben.state.streams.blocks import BadBlock, decode_block, pack_block
from ekiben.state.streams.entry_id import EntryId


class Rows(NamedTuple):
    """What becomes of an entry: a record batch of `SCHEMAS` for each kind, in the order they came in, and a
    block of those events whose kind this release does not know, None without any."""

    batches: dict[str, Any]
    unknown: dict[bytes, bytes] | None


def entry_rows(stream: Stream, entry: EntryId, fields: dict[bytes, bytes]) -> Rows:
    """Raises `BadBlock`, also for values that do not fit their column: one such value spoils its block."""
    block_id, events, unknown = decode_block(fields)
    if strange := events.keys() - set(stream.kinds):
        raise BadBlock(f"events of kind {min(strange)!r} in {stream.key}")
    try:
        batches = {kind: _batch(kind, rows, entry.received_at) for kind, rows in events.items() if rows}
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BadBlock(f"a value that does not fit its column: {error}") from error
    return Rows(batches, pack_block(block_id, unknown) if unknown else None)


def _batch(kind: str, rows: list[Any], received_at: float) -> Any:
    schema = SCHEMAS[kind]
    columns = [*zip(*map(msgspec.structs.astuple, rows), strict=True), [received_at] * len(rows)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)
