"""The state Redis as a file: what of it outlives its processes, read by plain commands and written again.

Not by DUMP, whose format is one server's and one version's, nor by a copy of its files, which a managed
service does not give out. What has a time to live is left out (leases, sessions, the numbers of producers),
and so is what workers tell of themselves. Streams are read up to the entry that was the last when they were
begun; what is trimmed meanwhile has been recorded, and is in the event files that are copied afterwards.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import zstandard
from redis.asyncio import Redis

from ekiben.control.recording.intake import BAD_BLOCKS_STREAM
from ekiben.state.beats import SEEN_KEY, WORKERS_KEY
from ekiben.state.documents.audit_index import RESTORER
from ekiben.state.documents.document import AUDIT_STREAM, CHANGES_CHANNEL, DOCUMENT_KEY
from ekiben.terminal.errors import EkibenError

OURS: Final = "ekiben:*"
_LEFT_OUT: Final = frozenset({WORKERS_KEY.encode(), SEEN_KEY.encode()})
_BAD_BLOCKS: Final = BAD_BLOCKS_STREAM.encode()
_PAGE: Final = 100
_LENGTH: Final = struct.Struct(">I")

Record = tuple[str, bytes, Any]
"""What it is (`string`, `hash`, `entry`), its key, and its content: a value; fields and values; a stream
entry's id, fields and values."""

# KEYS: document, audit. ARGV: the new lineage, who, why, the channel, then fields and values.
# The document comes last and at once, whatever was there: workers that hold another one follow it.
_PUT_DOCUMENT: Final = """
local before = redis.call('HGET', KEYS[1], 'document') or ''
redis.call('DEL', KEYS[1])
for place = 5, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
redis.call('HSET', KEYS[1], 'lineage', ARGV[1])
local revision = redis.call('HGET', KEYS[1], 'revision')
local now = redis.call('TIME')
redis.call('XADD', KEYS[2], '*', 'at', now[1] .. '.' .. string.format('%06d', now[2]), 'who', ARGV[2],
           'why', ARGV[3], 'lineage', ARGV[1], 'revision', revision, 'before', before,
           'after', redis.call('HGET', KEYS[1], 'document'))
redis.call('PUBLISH', ARGV[4], revision)
"""


async def kept_keys(redis: Redis) -> list[bytes]:
    """The keys that a backup holds, sorted."""
    return sorted(
        [
            key
            async for key in redis.scan_iter(match=OURS, count=1000)
            if key not in _LEFT_OUT and await redis.pttl(key) == -1
        ]
    )


async def read_state(redis: Redis) -> AsyncIterator[Record]:
    """Everything that is kept. Streams come first: what is recorded meanwhile is in files. Of them the bad
    blocks come last, whether there were any or not: they are moved there from the others meanwhile."""
    by_type: dict[bytes, list[bytes]] = {}
    for key in await kept_keys(redis):
        by_type.setdefault(cast("bytes", await redis.type(key)), []).append(key)
    for key in [*sorted(set(by_type.pop(b"stream", [])) - {_BAD_BLOCKS}), _BAD_BLOCKS]:
        async for record in _read_stream(redis, key):
            yield record
    for key in by_type.pop(b"hash", []):
        if fields := await cast("Any", redis.hgetall(key)):
            yield "hash", key, [part for item in fields.items() for part in item]
    for key in by_type.pop(b"string", []):
        if (value := await redis.get(key)) is not None:
            yield "string", key, value
    by_type.pop(b"none", None)
    for kind, keys in by_type.items():
        name = keys[0].decode()
        raise EkibenError(f"{name} in the state Redis is a {kind.decode()}, which no release writes")


async def _read_stream(redis: Redis, key: bytes) -> AsyncIterator[Record]:
    if not await redis.exists(key):
        return
    last = (await redis.xinfo_stream(key))["last-generated-id"]
    after = b"-"
    while True:
        page = cast("Any", await redis.xrange(key, min=after, max=last, count=_PAGE))
        for entry, fields in page:
            yield "entry", key, [entry, *(part for item in fields.items() for part in item)]
        if len(page) < _PAGE:
            break
        after = b"(" + page[-1][0]


async def write_state(redis: Redis, records: Iterator[Record], lineage: str, why: str) -> bool:
    """Write what `read_state` gave. The document comes last, under a new lineage. Whether there was one."""
    document: list[bytes] | None = None
    pipeline = redis.pipeline(transaction=False)
    for kind, name, content in records:
        if name == DOCUMENT_KEY.encode():
            document = content
        elif kind == "string":
            pipeline.set(name, content)
        elif kind == "hash":
            pipeline.execute_command("HSET", name, *content)
        elif kind == "entry":
            pipeline.execute_command("XADD", name, *content)
        if len(pipeline) >= _PAGE:
            await pipeline.execute()
    await pipeline.execute()
    if document is not None:
        arguments = [lineage, RESTORER, why, CHANGES_CHANNEL, *document]
        await cast("Any", redis.eval(_PUT_DOCUMENT, 2, DOCUMENT_KEY, AUDIT_STREAM, *arguments))  # type: ignore[arg-type]
    return document is not None


async def write_records(path: Path, records: AsyncIterator[Record]) -> int:
    """Write records in a file: zstd over MessagePack, each with its length before it. Returns how many."""
    count = 0
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as sink:
        async for record in records:
            packed = msgspec.msgpack.encode(record)
            sink.write(_LENGTH.pack(len(packed)) + packed)
            count += 1
    return count


def read_records(path: Path) -> Iterator[Record]:
    """Read them again. Raises EkibenError for a file that is none."""
    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as source:
            while head := source.read(_LENGTH.size):
                kind, name, content = msgspec.msgpack.decode(source.read(_LENGTH.unpack(head)[0]))
                yield kind, name, content
    except (OSError, ValueError, struct.error, msgspec.DecodeError, zstandard.ZstdError) as error:
        raise EkibenError(f"{path} cannot be read: {error}") from None
