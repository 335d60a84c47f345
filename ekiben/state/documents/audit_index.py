"""Which entries of the audit stream touch which experiment: the stream is read once for all questions.

1. It is read from its newest entry towards its oldest, a page at a time, and only as far as somebody needs.
   What was read stays known by its id: a million changes take some 100 MB.
2. A page that is being read is read for all who wait for it, and is read to its end when they go away.
3. What is added to the stream is read before each answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis

from ekiben.state.entry_id import EntryId

# An entry holds two documents, so a page of them is small.
PAGE: Final = 50
RESTORER: Final = b"ekiben restore"


class AuditIndex:
    """The index of the stream `key`. Methods that are async raise redis's errors and `OSError`."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._key = key
        self._newer: dict[str, list[EntryId]] = {}  # added after the first look: oldest first
        self._older: dict[str, list[EntryId]] = {}  # read at the first look and since: newest first
        self._newest: EntryId | None = None
        self._oldest: EntryId | None = None
        self._complete = False
        self.restored = False  # since the first look: entries that were read may be gone, and others there
        self._page: asyncio.Task[None] | None = None

    def knows(self, experiment: str) -> bool:
        """Whether an entry that was read so far touches the experiment."""
        return experiment in self._newer or experiment in self._older

    async def newest_first(self, experiment: str, before: str = "") -> AsyncIterator[str]:
        """The ids of the entries that touch the experiment, older than `before`."""
        await self.catch_up()
        limit = EntryId.parse(before) if before else None
        for entry in tuple(reversed(self._newer.get(experiment, []))):
            if limit is None or entry < limit:
                yield str(entry)
        place = 0
        while True:
            held = self._older.get(experiment, [])
            while place < len(held):
                if limit is None or held[place] < limit:
                    yield str(held[place])
                place += 1
            if self._complete:
                return
            await self._read_older()

    async def catch_up(self) -> None:
        """Read what was added."""
        if self._newest is None:
            await self._read_older()
            return
        while True:
            newest = f"({self._newest}"
            page = cast("list[Any]", await self._redis.xrange(self._key, min=newest, count=PAGE))
            self.restored |= any(fields.get(b"who") == RESTORER for _, fields in page)
            for entry, touched in await asyncio.to_thread(_read, page):
                if entry > self._newest:  # another has not noted it meanwhile
                    self._newest = entry
                    for experiment in touched:
                        self._newer.setdefault(experiment, []).append(entry)
            if len(page) < PAGE:
                return

    async def _read_older(self) -> None:
        if self._page is None or self._page.done():
            self._page = asyncio.create_task(self._read_page())
        await asyncio.shield(self._page)

    async def _read_page(self) -> None:
        end = "+" if self._oldest is None else f"({self._oldest}"
        page = cast("list[Any]", await self._redis.xrevrange(self._key, max=end, count=PAGE))
        for entry, touched in await asyncio.to_thread(_read, page):
            self._newest = self._newest or entry
            self._oldest = entry
            for experiment in touched:
                self._older.setdefault(experiment, []).append(entry)
        if len(page) < PAGE:
            self._complete = True
            self._newest = self._newest or EntryId(0, 0)


def _read(page: list[Any]) -> list[tuple[EntryId, list[str]]]:
    return [(EntryId.parse(entry_id), _touched(fields)) for entry_id, fields in page]


def _touched(fields: dict[bytes, bytes]) -> list[str]:
    """The experiments that are not the same before and after. An entry that cannot be read touches none."""
    try:
        before, after = (_experiments(fields[name]) for name in (b"before", b"after"))
    except (KeyError, ValueError):
        return []
    return [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]


def _experiments(document: bytes) -> dict[str, Any]:
    held = orjson.loads(document) if document else {}
    found = held.get("experiments") if isinstance(held, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
