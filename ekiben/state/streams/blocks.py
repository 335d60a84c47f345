"""Event blocks: many events in one compressed Redis stream entry.

A worker adds a block every 50 ms instead of an entry an event: at 10,000 requests a second that is 20
commands instead of 10,000. A block carries an id made before it is sent, so that a reader can drop one
that a retry delivered twice.

Inside is a MessagePack map from a kind to a list of its events, each a map without what is None. Names cost
nothing once they are compressed, and a reader skips those that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import zstandard

from ekiben.state.streams.events import KINDS, Event
from ekiben.state.streams.former import FORMER_FORMAT, read_former

EVENTS_STREAM: Final = "ekiben:events:2"
"""Exposures, predictions and shadows' answers."""
OUTCOMES_STREAM: Final = "ekiben:outcomes:2"

_FORMAT: Final = b"2"
# Events of one block look alike: level 1 already shrinks them to a tenth, at a fifth of level 3's time.
_LEVEL: Final = 1
_MAX_BLOCK_BYTES: Final = 64 * 1024 * 1024
_NAMES: Final = {struct: kind for kind, struct in KINDS.items()}
_DECODERS: Final = {
    kind: msgspec.msgpack.Decoder(list[struct])  # type: ignore[valid-type]
    for kind, struct in KINDS.items()
}

_PACKED: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


class BadBlock(ValueError):
    """A stream entry that is no event block."""


class BlockContent(NamedTuple):
    """What a block holds, by kind. Each event of a kind that this release does not know is in `unknown`, as
    it came, packed."""

    block_id: str
    events: dict[str, list[Any]]
    unknown: dict[str, list[msgspec.Raw]]


def encode_block(block_id: str, events: Sequence[Event]) -> dict[bytes, bytes]:
    """The fields of the stream entry that holds `events`."""
    by_kind: dict[str, list[Event]] = {}
    for event in events:
        by_kind.setdefault(_NAMES[type(event)], []).append(event)
    return pack_block(block_id, by_kind)


def pack_block(block_id: str, by_kind: dict[str, list[Any]]) -> dict[bytes, bytes]:
    """The same for events by kind, of whatever kinds."""
    return {
        b"format": _FORMAT,
        b"id": block_id.encode(),
        b"count": str(sum(map(len, by_kind.values()))).encode(),
        b"events": zstandard.ZstdCompressor(level=_LEVEL).compress(msgspec.msgpack.encode(by_kind)),
    }


def decode_block(fields: dict[bytes, bytes]) -> BlockContent:
    """What a stream entry holds, one that 30e8d9b wrote too. Raises `BadBlock`."""
    try:
        if fields[b"format"] not in (_FORMAT, FORMER_FORMAT):
            raise BadBlock(f"unknown block format {fields[b'format']!r}")
        compressed = fields[b"events"]
        # `max_output_size` binds only a frame that does not say how large its content is.
        if zstandard.frame_content_size(compressed) > _MAX_BLOCK_BYTES:
            raise BadBlock("a block of absurd size")
        packed = zstandard.ZstdDecompressor().decompress(compressed, max_output_size=_MAX_BLOCK_BYTES)
        block_id = fields[b"id"].decode()
        if fields[b"format"] == FORMER_FORMAT:
            return BlockContent(block_id, read_former(packed), {})
        parts = msgspec.msgpack.decode(packed, type=dict[str, msgspec.Raw])
        rows: dict[str, list[Any]] = {
            kind: _DECODERS.get(kind, _PACKED).decode(part) for kind, part in parts.items()
        }
        return BlockContent(block_id, {kind: rows.pop(kind) for kind in KINDS if kind in rows}, rows)
    except (KeyError, UnicodeDecodeError, RecursionError, msgspec.MsgspecError, zstandard.ZstdError) as error:
        raise BadBlock(f"not an event block: {error}") from error
