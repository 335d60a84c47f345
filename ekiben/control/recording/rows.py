"""From a stream entry to the rows of event files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate, chain, groupby
from typing import Any, Final

import msgspec
import pyarrow as pa

from ekiben.control.recording.intake import Bad
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.control.recording.streams import Stream
from ekiben.state.entry_id import EntryId
from ekiben.state.streams.blocks import BadBlock, decode_block, pack_block

_LATER_BYTES: Final = 1024 * 1024  # before they are compressed, to a tenth or so

Packed = Mapping[str, list[msgspec.Raw]]


def entry_rows(stream: Stream, entry: EntryId, fields: dict[bytes, bytes]) -> tuple[dict[str, Any], Packed]:
    """A record batch of `SCHEMAS` for each kind, and the events whose kind this release does not know.

    Raises `BadBlock`, also for values that do not fit their column: one such value spoils its block."""
    _, events, unknown = decode_block(fields)
    if strange := events.keys() - set(stream.kinds):
        raise BadBlock(f"events of kind {min(strange)!r} in {stream.key}")
    try:
        batches = {kind: _batch(kind, rows, entry.received_at) for kind, rows in events.items() if rows}
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise BadBlock(f"a value that does not fit its column: {error}") from error
    return batches, {kind: rows for kind, rows in unknown.items() if rows}


def of_later_kinds(found: Mapping[EntryId, Packed]) -> Iterator[Bad]:
    """Events of kinds that this release does not know, by entry, as few blocks of about `_LATER_BYTES`."""
    sizes = (sum(len(row) for rows in unknown.values() for row in rows) for unknown in found.values())
    ends = dict(zip(found, accumulate(sizes), strict=True))
    for _, group in groupby(found, lambda entry: ends[entry] // _LATER_BYTES):
        entries, together = list(group), defaultdict[str, list[msgspec.Raw]](list)
        for kind, rows in chain(*(found[entry].items() for entry in entries)):
            together[kind] += rows
        yield Bad(entries, pack_block(str(entries[0]), together), "events of a kind of a later release")


def _batch(kind: str, rows: list[Any], received_at: float) -> Any:
    schema = SCHEMAS[kind]
    columns = [*zip(*map(msgspec.structs.astuple, rows), strict=True), [received_at] * len(rows)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)
