"""Holding the document: what is in Redis, a copy of it on disk, and what to do when Redis holds another one.

| Redis holds | then |
|---|---|
| nothing | what this process knew is put back, lineage and revision with it |
| another lineage | that is a history of its own (a backup that was restored, a new beginning): it is taken |
| what came of what this process knew | it is taken |
| what this process's came of | Redis has lost revisions: they are put back |
| a fork: both were changed since | for each experiment the safer state is taken, and the history says so |
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.experiments.changes.releases import Kept
from ekiben.experiments.changes.safer import safer
from ekiben.experiments.document import Document
from ekiben.state.documents.document import CHANGES_CHANNEL, read_record
from ekiben.state.documents.record import Record

log = logging.getLogger(__name__)

_AGAIN_S: Final = 0.5
_LOOK_S: Final = 0.5


class Documents(Protocol):
    """Where the experiments document is kept (`ekiben.state.documents.document.DocumentStore`)."""

    async def load_record(self) -> Record | None: ...

    async def restore(self, held: Record | None, record: Record, why: str) -> None: ...

    async def join(self, held: Record, document: Document, known: Record, kept: Kept, why: str) -> Record: ...


class HeldDocument:
    """The document as this process knows it. `now` is None until `take` was given one."""

    def __init__(self, documents: Documents, copy: Path) -> None:
        self._documents = documents
        self._copy = copy
        self.now: Record | None = None

    async def load(self) -> Record | None:
        """What Redis holds, after what the table says.

        Raises `StateUnavailable`, and `Conflict` when another process was faster.
        """
        record = await self._documents.load_record()
        known = self.now or await asyncio.to_thread(self.read_copy)
        if known is None or not known.lineage or record is known:
            return record
        if record is None:
            await self._documents.restore(None, known, "restored: Redis came back without it")
            log.warning("Redis had lost the experiments: restored at revision %d", known.revision)
            return known
        if record.lineage != known.lineage or record.here == known.here or record.follows(known):
            return record
        if known.follows(record):
            await self._documents.restore(
                record, known, "restored: Redis came back without its last revisions"
            )
            log.warning("Redis had lost revision %d of the experiments: restored", known.revision)
            return known
        if record.revision > known.revision and record.follows(known) is None:
            return record  # it has come so far that its past does not reach back to what was known
        return await self._join(record, known)

    async def _join(self, record: Record, known: Record) -> Record:
        document, kept, lines = await asyncio.to_thread(_joined, record, known)
        differences = "; ".join(lines) or "no experiment differs"
        why = (
            f"two histories were joined: Redis came back with revision {record.revision}, which did not come "
            f"of the revision {known.revision} that was in force; of each experiment the safer state was "
            f"taken: {differences}"
        )
        joined = await self._documents.join(record, document, known, kept, why)
        log.error("%s", why)
        return joined

    def is_new(self, record: Record) -> bool:
        """Whether `record` is another than what is known."""
        return self.now is not record and (self.now is None or self.now.mark != record.mark)

    def take(self, record: Record) -> None:
        """Know `record` from now on. `keep` writes it to disk."""
        self.now = record

    async def keep(self) -> None:
        """Write what is known to disk, if it has been in Redis."""
        if self.now is not None and self.now.lineage:
            await asyncio.to_thread(self._write_copy, self.now)

    def read_copy(self) -> Record | None:
        """The copy on disk, None without a good one."""
        try:
            record = Record.from_json(self._copy.read_bytes())
            read_record(record)
        except FileNotFoundError:
            return None
        except Exception as error:
            log.warning("the copy of the experiments in %s cannot be used: %s", self._copy, error)
            return None
        return record

    def _write_copy(self, record: Record) -> None:
        draft = self._copy.with_suffix(f".{os.getpid()}")
        try:
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(record.to_json())
            draft.replace(self._copy)
        except OSError as error:
            log.warning("no copy of the experiments in %s: %s", self._copy, error)


def _joined(record: Record, known: Record) -> tuple[Document, Kept, tuple[str, ...]]:
    here, ours = read_record(record), read_record(known)
    document, lines = safer(here.document, ours.document)
    kept = Kept({**ours.kept.values, **here.kept.values}, {**ours.kept.not_run, **here.kept.not_run})
    return document, kept, lines


async def follow(look: Callable[[], Awaitable[None]], changed: asyncio.Event) -> None:
    """Look now, at once whenever `changed` is set, and every 500 ms, until cancelled."""
    while True:
        await look()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await changed.wait()
        changed.clear()


async def listen(redis: Redis, changed: asyncio.Event) -> None:
    """Set `changed` whenever a change is published, and after each reconnection."""
    while True:
        try:
            async with redis.pubsub() as subscription:
                await subscription.subscribe(CHANGES_CHANNEL)
                changed.set()
                while True:
                    if await subscription.get_message(ignore_subscribe_messages=True, timeout=30.0):
                        changed.set()
        except (RedisError, OSError):
            await asyncio.sleep(_AGAIN_S)
