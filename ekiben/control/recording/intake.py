"""A stream of event blocks, read as a consumer group and acknowledged when its events are on disk.

All controllers read under one consumer name: what one had taken when it was killed is pending, and the next
one takes it first. Should two read at the same time (one was stopped, lost the lease and woke up), each sees
in the list of what is pending that it does not hold everything, and takes it all again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ekiben.state.entry_id import EntryId

GROUP: Final = "ekiben-recorder"
BAD_BLOCKS_STREAM: Final = "ekiben:bad-blocks"

_CONSUMER: Final = "recorder"
_PAGE: Final = 32
_ENTRY_BYTES: Final = 256  # what an entry costs besides its fields
_MAX_BAD_BLOCKS: Final = 1_000

# Scripts and not transactions: a Redis that is out of memory queues no command of a transaction, not even
# one that would free some.

# KEYS: stream. ARGV: group, the id to trim to or "" to remove the entries one by one, then their ids.
_ACKNOWLEDGE: Final = """
for place = 3, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[place])
  if ARGV[2] == '' then redis.call('XDEL', KEYS[1], ARGV[place]) end
end
if ARGV[2] ~= '' then redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2]) end
"""

# KEYS: stream, stream of bad blocks. ARGV: group, how many to keep, the place of the last field, then the
# fields, then the ids.
_PUT_ASIDE: Final = """
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 4, ARGV[3]))
for place = ARGV[3] + 1, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[place])
  redis.call('XDEL', KEYS[1], ARGV[place])
end
"""

_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A stream entry. Without fields it was trimmed after it had been taken: it is lost."""

    id: EntryId
    fields: dict[bytes, bytes]


class Taken(NamedTuple):
    """Entries in stream order. `again`: some were taken before, and may have been written."""

    entries: list[Entry]
    again: bool
    full: bool

    @property
    def ids(self) -> list[EntryId]:
        """The entries' ids."""
        return [entry.id for entry in self.entries]


class Bad(NamedTuple):
    """An entry that is no event block, or what of some this release cannot record, and why."""

    entries: list[EntryId]
    fields: dict[bytes, bytes]
    reason: str


class Intake:
    """One stream. Every method raises redis's own errors."""

    def __init__(self, redis: Redis, stream: str) -> None:
        self.stream = stream
        self._redis = redis
        self._acknowledge = redis.register_script(_ACKNOWLEDGE)
        self._put = redis.register_script(_PUT_ASIDE)

    async def exists(self) -> bool:
        """Whether there is such a stream."""
        return bool(await self._redis.exists(self.stream))

    async def take(self, max_bytes: int) -> Taken:
        """Everything pending, then new entries until `max_bytes` are reached (and passed by a page at most).

        Raises `NoGroup` when the stream has none: Redis came back empty, or is new.
        """
        entries: list[Entry] = []
        while page := await self._read(str(entries[-1].id) if entries else "0"):
            entries += page
        again = bool(entries)
        size = sum(map(_size, entries))
        while size < max_bytes and (page := await self._read(">")):
            entries += page
            size += sum(map(_size, page))
        return Taken(entries, again, full=size >= max_bytes)

    async def holds_all(self, taken: Taken) -> bool:
        """Whether nothing else is pending up to the last entry taken: then they are all that lies between
        what is recorded and that entry."""
        pending: Any = await self._redis.xpending_range(
            self.stream, GROUP, min="-", max=str(taken.ids[-1]), count=len(taken.entries) + 1
        )
        return [EntryId.parse(row["message_id"]) for row in pending] == taken.ids

    async def acknowledge(self, taken: Taken, bad: Sequence[Bad]) -> None:
        """Put bad blocks aside, acknowledge the others and trim the stream to what is left."""
        stay = [one for one in bad if not await self._put_aside(one)]
        aside = Counter(one.reason for one in bad if one not in stay for _ in one.entries)
        for reason, count in aside.items():
            _log.error("%d blocks of %s put aside in %s: %s", count, self.stream, BAD_BLOCKS_STREAM, reason)
        left = {entry for one in stay for entry in one.entries}
        done = [str(entry) for entry in taken.ids if entry not in left]
        trim_to = "" if left else str(taken.ids[-1].next)
        await self._acknowledge(keys=[self.stream], args=[GROUP, trim_to, *done])

    async def oldest(self) -> EntryId | None:
        """The first entry of the stream: the oldest that is not recorded, since recorded ones are trimmed."""
        found: Any = await self._redis.xrange(self.stream, count=1)
        return EntryId.parse(found[0][0]) if found else None

    async def make_group(self, recorded: EntryId | None) -> None:
        """Make the group, from the beginning of the stream; new entries' ids will lie above `recorded`.

        Without that a Redis that came back empty with its clock behind would give ids anew, and what lies in
        a range that is written would be taken for recorded.
        """
        try:
            await self._redis.xgroup_create(self.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        if recorded is not None:
            await self.raise_ids(recorded)

    async def raise_ids(self, recorded: EntryId) -> bool:
        """Let new entries' ids lie above `recorded`; whether that was not so: another server answers now,
        which lacks what this one had, and whose clock may be behind. Without a stream there is nothing to do:
        `take` says so."""
        if not await self.exists():
            return False
        info = await self._redis.xinfo_stream(self.stream)
        if EntryId.parse(info["last-generated-id"]) >= recorded:
            return False
        await self._redis.execute_command("XSETID", self.stream, str(recorded))  # type: ignore[no-untyped-call]
        return True

    async def _read(self, after: str) -> list[Entry]:
        try:
            found: Any = await self._redis.xreadgroup(GROUP, _CONSUMER, {self.stream: after}, count=_PAGE)
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                raise NoGroup(self.stream) from error
            raise
        return [Entry(EntryId.parse(id_), fields or {}) for id_, fields in found[0][1]] if found else []

    async def _put_aside(self, bad: Bad) -> bool:
        """Move it to the stream of bad blocks; False while Redis has no memory for it: it stays pending."""
        first, *_ = ids = [str(entry) for entry in bad.entries]
        said: dict[bytes, Any] = {b"stream": self.stream, b"entry": first, b"reason": bad.reason}
        fields = [part for item in (bad.fields | said).items() for part in item]
        try:
            await self._put(
                keys=[self.stream, BAD_BLOCKS_STREAM],
                args=[GROUP, _MAX_BAD_BLOCKS, 3 + len(fields), *fields, *ids],
            )
        except ResponseError as error:
            _log.error("bad block %s of %s stays where it is: %s", first, self.stream, error)
            return False
        return True


class NoGroup(Exception):
    """The stream has no consumer group of ours."""


def _size(entry: Entry) -> int:
    return _ENTRY_BYTES + sum(map(len, entry.fields.values()))
