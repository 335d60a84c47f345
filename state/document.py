"""The experiments document in Redis: one value with a lineage and a revision, changed by compare-and-set.

A change is set, appended to the audit stream and published in one script, so that no reader can see one
without the others. The lineage names one history of revisions: two documents of the same lineage are
ordered by their revision, two of different lineages are strangers.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final, Self, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, RedisError

from experiments.document import Document
from experiments.parsing import parse_document
from experiments.problems import DocumentError
from state.lease import LEASE_KEY, Lease, LeaseLost
from state.phases import PHASES_KEY, beginning, check_phases, phases_of

DOCUMENT_KEY: Final = "ekiben:experiments"
AUDIT_STREAM: Final = "ekiben:audit"
CHANGES_CHANNEL: Final = "ekiben:experiments:changed"

# KEYS: document, audit stream, lease, phases. ARGV: expected lineage and revision ("" and "0" for none), new
# lineage, new revision, applied digest, document, who, why, channel, fence ("" for none), then experiment,
# phase, experiment, phase, …
# Returns 1 when set, 0 when another was faster, -1 when the lease is not the one of the fence.
_COMPARE_AND_SET: Final = """
if ARGV[10] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[10] then return -1 end
local held = redis.call('HMGET', KEYS[1], 'lineage', 'revision', 'document')
if (held[1] or '') ~= ARGV[1] or (held[2] or '0') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'lineage', ARGV[3], 'revision', ARGV[4], 'applied', ARGV[5], 'document', ARGV[6])
local now = redis.call('TIME')
redis.call('XADD', KEYS[2], '*', 'at', now[1] .. '.' .. string.format('%06d', now[2]), 'who', ARGV[7],
           'why', ARGV[8], 'lineage', ARGV[3], 'revision', ARGV[4], 'before', held[3] or '', 'after', ARGV[6])
for place = 11, #ARGV, 2 do
  local last = tonumber(redis.call('HGET', KEYS[4], ARGV[place]) or '0')
  if tonumber(ARGV[place + 1]) > last then redis.call('HSET', KEYS[4], ARGV[place], ARGV[place + 1]) end
end
redis.call('PUBLISH', ARGV[9], ARGV[4])
return 1
"""


class StateUnavailable(Exception):
    """The state Redis did not answer, or answered nonsense."""


class Conflict(Exception):
    """The document was changed by someone else since it was read: read it again and decide anew."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document with its place in history.

    `applied` is the SHA-256 of the experiments file that was applied last, or an empty string.
    """

    lineage: str
    revision: int
    applied: str
    document: Document

    def to_json(self) -> bytes:
        """The copy on disk: read back by `from_json`."""
        return orjson.dumps(
            {
                "lineage": self.lineage,
                "revision": self.revision,
                "applied": self.applied,
                "document": dump_document(self.document),
            },
            option=orjson.OPT_INDENT_2,
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what `to_json` wrote. Raises `ValueError` for anything else."""
        try:
            held = orjson.loads(data)
            return cls(
                lineage=str(held["lineage"]),
                revision=int(held["revision"]),
                applied=str(held["applied"]),
                document=parse_document(held["document"]),
            )
        except (DocumentError, KeyError, TypeError) as error:
            raise ValueError(f"not an experiments document: {error}") from error


def dump_document(document: Document) -> dict[str, object]:
    """A document as plain values that `parse_document` reads back."""
    return document.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class DocumentStore:
    """The experiments document in one Redis. Every method raises `StateUnavailable` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._compare_and_set = redis.register_script(_COMPARE_AND_SET)

    async def load(self) -> Stored | None:
        """The document as it stands, or None in an empty Redis."""
        try:
            held = cast("dict[bytes, bytes]", await self._redis.hgetall(DOCUMENT_KEY))
        except (RedisError, OSError) as error:
            raise StateUnavailable(str(error)) from error
        if not held:
            return None
        try:
            return Stored(
                lineage=held[b"lineage"].decode(),
                revision=int(held[b"revision"]),
                applied=held[b"applied"].decode(),
                document=parse_document(orjson.loads(held[b"document"])),
            )
        except (DocumentError, KeyError, ValueError) as error:
            raise StateUnavailable(f"{DOCUMENT_KEY} holds no experiments document: {error}") from error

    async def check_names(self, held: Stored | None, document: Document) -> None:
        """Raise DocumentError where `document` gives the name and phase of an experiment that is gone to
        another: events are kept by both.
        """
        begins = beginning(held.document if held else None, document)
        if held is None or not begins:
            return
        try:
            ran = await cast("Any", self._redis.hmget(PHASES_KEY, list(begins)))
        except (RedisError, OSError) as error:
            raise StateUnavailable(str(error)) from error
        check_phases(begins, {key: int(last) for key, last in zip(begins, ran, strict=True) if last})

    async def change(
        self,
        held: Stored | None,
        document: Document,
        *,
        who: str,
        why: str,
        applied: str | None = None,
        lease: Lease | None = None,
    ) -> Stored:
        """Replace `held` by `document`, or raise `Conflict` when `held` is no longer what Redis holds.

        With a `lease`, only while that is held: raises `LeaseLost` otherwise, decided in Redis by the script
        that makes the change.
        """
        if held is None:
            new = Stored(secrets.token_hex(8), 1, applied or "", document)
        else:
            digest = held.applied if applied is None else applied
            new = Stored(held.lineage, held.revision + 1, digest, document)
        await self._set(held, new, who, why, lease.fence if lease is not None else "")
        return new

    async def restore(self, held: Stored | None, stored: Stored) -> None:
        """Put back a later document that Redis has lost. Raises `Conflict` when another was faster."""
        await self._set(held, stored, "ekiben", "restored: Redis came back without it")

    async def _set(self, held: Stored | None, new: Stored, who: str, why: str, fence: str = "") -> None:
        # Of both: an experiment that an earlier release let run and that is removed now is known too.
        phases = phases_of(held.document if held else None) | phases_of(new.document)
        try:
            done = await self._compare_and_set(
                keys=[DOCUMENT_KEY, AUDIT_STREAM, LEASE_KEY, PHASES_KEY],
                args=[
                    held.lineage if held else "",
                    str(held.revision) if held else "0",
                    new.lineage,
                    str(new.revision),
                    new.applied,
                    orjson.dumps(dump_document(new.document)),
                    who,
                    why,
                    CHANGES_CHANNEL,
                    fence,
                    *(str(part) for item in phases.items() for part in item),
                ],
            )
        except (RedisError, OSError) as error:
            raise StateUnavailable(str(error)) from error
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


def open_state(state_url: str) -> Redis:
    """A client of the state Redis, with time-outs: nobody waits for it without an end.

    A server that has become a replica is left: behind the same address there is another one by now.
    """
    return Redis.from_url(
        state_url, socket_timeout=2.0, socket_connect_timeout=1.0, retry_on_error=[ReadOnlyError]
    )
