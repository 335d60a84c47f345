"""The experiments document in Redis: one hash with a lineage and a revision, changed by compare-and-set.

A change is set, appended to the audit stream and published in one script, so that no reader can see one
without the others. The lineage names one history of revisions: of two documents of one lineage the past tells
which came of which (`ekiben.state.documents.record`), two of different lineages are strangers.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis

from ekiben.experiments.changes.phases import beginning, check_phases, ran_by
from ekiben.experiments.changes.releases import (
    NOTHING_KEPT,
    Kept,
    keys_beyond_base,
    read_document,
    read_routing,
    routing_data,
    write_document,
)
from ekiben.experiments.document import Document
from ekiben.state.beats import Beats
from ekiben.state.connecting import Unreadable, open_state, state_answers
from ekiben.state.documents.record import SCHEMA, Record, stamp_of
from ekiben.state.lease import LEASE_KEY, Lease, LeaseLost

DOCUMENT_KEY: Final = "ekiben:experiments"
AUDIT_STREAM: Final = "ekiben:audit"
CHANGES_CHANNEL: Final = "ekiben:experiments:changed"
PHASES_KEY: Final = "ekiben:phases"
"""A hash: the experiment's key → the last phase in which it gave users a variant."""

# KEYS: document, audit stream, lease, phases. ARGV: expected lineage and revision ("" and "0" for none), who,
# why, channel, fence ("" for none), the number of fields, then field, value, … as `Record.fields` has them
# (lineage, revision, applied and document first), then experiment, phase, experiment, phase, …
# Returns 1 when set, 0 when another was faster, -1 when the lease is not the one of the fence.
_COMPARE_AND_SET: Final = """
if ARGV[6] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[6] then return -1 end
local held = redis.call('HMGET', KEYS[1], 'lineage', 'revision', 'document')
if (held[1] or '') ~= ARGV[1] or (held[2] or '0') ~= ARGV[2] then return 0 end
local last = 7 + 2 * tonumber(ARGV[7])
for place = 8, last, 2 do redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
local now = redis.call('TIME')
redis.call('XADD', KEYS[2], '*', 'at', now[1] .. '.' .. string.format('%06d', now[2]), 'who', ARGV[3],
           'why', ARGV[4], 'lineage', ARGV[9], 'revision', ARGV[11],
           'before', held[3] or '', 'after', ARGV[15])
for place = last + 1, #ARGV, 2 do
  local ran = tonumber(redis.call('HGET', KEYS[4], ARGV[place]) or '0')
  if tonumber(ARGV[place + 1]) > ran then redis.call('HSET', KEYS[4], ARGV[place], ARGV[place + 1]) end
end
redis.call('PUBLISH', ARGV[5], ARGV[11])
return 1
"""
# KEYS: document. ARGV: expected lineage and revision, then field, value, field, value, …
_NOTE: Final = """
local held = redis.call('HMGET', KEYS[1], 'lineage', 'revision')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
for place = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
return 1
"""
_MARK: Final = ("lineage", "revision", "applied", "stamp", "noted")


class Conflict(Exception):
    """The document was changed by someone else since it was read: read it again and decide again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document with its place in history.

    `applied` is the SHA-256 of the experiments file that was applied last, or an empty string. `record` is
    what was read, None for what was never in Redis; `kept` what of it is another release's.
    """

    lineage: str
    revision: int
    applied: str
    document: Document
    record: Record | None = field(default=None, compare=False, repr=False)
    kept: Kept = field(default=NOTHING_KEPT, compare=False, repr=False)

    def as_record(self) -> Record:
        """As it lies in Redis, or would."""
        if self.record is not None:
            return self.record
        document, routing = _written(self.document, self.kept)
        return Record(
            self.lineage, self.revision, self.applied, document, routing=routing, stamp=stamp_of(document)
        )


def read_record(record: Record, *, routing: bool = False) -> Stored:
    """Read a record; with `routing` only what routers need of it, where that is there. Raises `Unreadable`.

    Blocks: 1,000 experiments take some 50 ms. Lets other threads run all along.
    """
    if record.schema > SCHEMA:
        raise Unreadable(
            f"the experiments are of schema {record.schema}, written by a newer release; "
            f"this one reads up to {SCHEMA}"
        )
    try:
        if routing and record.routing:
            document, kept = read_routing(orjson.loads(record.routing))
        else:
            document, kept = read_document(orjson.loads(record.document))
    except ValueError as error:
        line = str(error).splitlines()[0]
        raise Unreadable(f"{DOCUMENT_KEY} holds no experiments document: {line}") from error
    return Stored(record.lineage, record.revision, record.applied, document, record, kept)


def dump_document(document: Document) -> dict[str, Any]:
    """A document as plain values that `parse_document` reads back."""
    return document.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _written(document: Document, kept: Kept) -> tuple[bytes, bytes]:
    """A document and its routing document, as JSON."""
    data = write_document(document, kept)
    return orjson.dumps(data), orjson.dumps(routing_data(data))


def _changed(held: Record | None, document: Document, kept: Kept, text: bytes | None = None) -> Record:
    data, routing = _written(document, kept)
    return (held or Record(secrets.token_hex(8), 0, "", b"")).next(data, routing, text)


class DocumentStore:
    """The experiments document in one Redis. Every method raises `StateUnavailable` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._compare_and_set = redis.register_script(_COMPARE_AND_SET)
        self._note = redis.register_script(_NOTE)
        self._seen: list[bytes | None] = []
        self._record: Record | None = None
        self._stored: Stored | None = None

    async def load_record(self) -> Record | None:
        """The document as it lies in Redis, None in an empty one; the same object while nothing has changed.

        Raises `Unreadable` for what is no record.
        """
        try:
            with state_answers():
                seen = cast("list[bytes | None]", await cast("Any", self._redis.hmget(DOCUMENT_KEY, _MARK)))
                if self._record is not None and seen == self._seen:
                    return self._record
                held = cast("dict[bytes, bytes]", await cast("Any", self._redis.hgetall(DOCUMENT_KEY)))
            record = await asyncio.to_thread(Record.from_fields, held) if held else None
        except ValueError as error:
            raise Unreadable(f"{DOCUMENT_KEY} holds no experiments document: {error}") from error
        self._seen = [held.get(name.encode()) for name in _MARK]
        self._record = record
        return record

    async def load(self) -> Stored | None:
        """The document as it stands, or None in an empty Redis. Raises `Unreadable` too."""
        record = await self.load_record()
        if record is None:
            return None
        stored = self._stored
        if stored is None or stored.record is not record:
            self._stored = stored = await asyncio.to_thread(read_record, record)
        return stored

    async def check(self, held: Stored | None, document: Document) -> None:
        """Raise DocumentError for what Redis knows against `document`: an experiment that has the name and
        phase of one that is gone, by which events are kept, or a key that a running router cannot read.
        """
        await self._check_names(held, document)
        before = keys_beyond_base(held.document) if held is not None else frozenset()
        if added := keys_beyond_base(document) - before:
            await Beats(self._redis).check_readers(added)

    async def _check_names(self, held: Stored | None, document: Document) -> None:
        begins = beginning(held.document if held else None, document)
        if held is None or not begins:
            return
        with state_answers():
            ran = await cast("Any", self._redis.hmget(PHASES_KEY, list(begins)))
        check_phases(begins, {key: int(last) for key, last in zip(begins, ran, strict=True) if last})

    async def change(
        self,
        held: Stored | None,
        document: Document,
        *,
        who: str,
        why: str,
        text: bytes | None = None,
        lease: Lease | None = None,
    ) -> Stored:
        """Replace `held` by `document`, or raise `Conflict` when `held` is no longer what Redis holds.

        `text` is that of an experiments file, where one was applied. What `held` has of other releases is
        kept. With a `lease`, only while that is held: raises `LeaseLost` otherwise, decided in Redis by the
        script that makes the change.
        """
        kept = held.kept if held is not None else NOTHING_KEPT
        before = held.as_record() if held is not None else None
        record = await asyncio.to_thread(_changed, before, document, kept, text)
        await self._set(before, record, who, why, lease.fence if lease is not None else "")
        return Stored(record.lineage, record.revision, record.applied, document, record, kept)

    async def note_text(self, held: Stored, text: bytes) -> None:
        """Know another text as the one applied last, where it changes nothing. Raises `Conflict`."""
        record = held.as_record()
        noted = record.next(record.document, record.routing, text)
        fields = {name: noted.fields()[name] for name in ("applied", "text", "earlier")}
        fields["noted"] = noted.applied  # so that everybody reads the text, also where only that is new
        with state_answers():
            done = await self._note(
                keys=[DOCUMENT_KEY],
                args=[held.lineage, held.revision, *(part for item in fields.items() for part in item)],
            )
        if not done:
            raise Conflict

    async def restore(self, held: Record | None, record: Record, why: str) -> None:
        """Put back a record that Redis has lost. Raises `Conflict` when another was faster."""
        await self._set(held, record, "ekiben", why)

    async def join(self, held: Record, document: Document, known: Record, kept: Kept, why: str) -> Record:
        """Go on from both of two histories with `document`. Raises `Conflict` when another was faster."""
        joined = await asyncio.to_thread(_changed, held, document, kept)
        seconds, _ = await cast("Any", self._redis.time())
        past = dict.fromkeys([held.here, known.here, *held.past, *known.past])
        joined = replace(
            joined,
            revision=max(held.revision, known.revision) + 1,
            past=tuple(past)[:100],
            joined=f"{seconds}|{why}",
        )
        await self._set(held, joined, "ekiben", why)
        return joined

    async def _set(self, held: Record | None, new: Record, who: str, why: str, fence: str = "") -> None:
        fields = new.fields()
        # Of both: an experiment that an earlier release let run and that is removed now is known too.
        phases = await asyncio.to_thread(_phases, held, new)
        with state_answers():
            done = await self._compare_and_set(
                keys=[DOCUMENT_KEY, AUDIT_STREAM, LEASE_KEY, PHASES_KEY],
                args=[
                    held.lineage if held else "",
                    str(held.revision) if held else "0",
                    who,
                    why,
                    CHANGES_CHANNEL,
                    fence,
                    len(fields),
                    *(part for item in fields.items() for part in item),
                    *(str(part) for item in phases.items() for part in item),
                ],
            )
        if done < 0:
            raise LeaseLost("the lease has passed to another controller")
        if not done:
            raise Conflict

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def open_store(state_url: str) -> DocumentStore:
    """A store on the Redis at `state_url`; nothing connects before the first call."""
    return DocumentStore(open_state(state_url))


def _phases(*records: Record | None) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in filter(None, records):
        with suppress(ValueError):
            found |= ran_by(orjson.loads(record.document))
    return found
