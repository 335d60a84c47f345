"""Holding the document: what is in Redis, a copy of it on disk, and putting it back when Redis lost it."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Final, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from experiments.document import Document
from state.document import CHANGES_CHANNEL, Stored

log = logging.getLogger(__name__)

_AGAIN_S: Final = 0.5


class Documents(Protocol):
    """Where the experiments document is kept (`state.document.DocumentStore`)."""

    async def load(self) -> Stored | None: ...

    async def check_names(self, held: Stored | None, document: Document) -> None: ...

    async def change(
        self, held: Stored | None, document: Document, *, who: str, why: str, applied: str | None = None
    ) -> Stored: ...

    async def restore(self, held: Stored | None, stored: Stored) -> None: ...


class HeldDocument:
    """The document as this process knows it. `now` is None until `take` was given one."""

    def __init__(self, documents: Documents, copy: Path) -> None:
        self._documents = documents
        self._copy = copy
        self.now: Stored | None = None

    async def load(self) -> Stored | None:
        """What Redis holds; what it has lost of what this process knew is put back first.

        Raises `StateUnavailable`, and `Conflict` when another process was faster.
        """
        stored = await self._documents.load()
        known = self.now or self.read_copy()
        if known is None or not known.lineage:
            return stored
        lost = stored is None or (stored.lineage == known.lineage and stored.revision < known.revision)
        if not lost:
            return stored
        await self._documents.restore(stored, known)
        log.warning("Redis had lost revision %d of the experiments: restored", known.revision)
        return known

    def take(self, stored: Stored) -> bool:
        """Know `stored` from now on, on disk too if it has been in Redis. False when it was known."""
        if self.now == stored:
            return False
        self.now = stored
        if stored.lineage:
            self._write_copy(stored)
        return True

    def read_copy(self) -> Stored | None:
        """The copy on disk, None without a good one."""
        try:
            return Stored.from_json(self._copy.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("the copy of the experiments in %s cannot be used: %s", self._copy, error)
            return None

    def _write_copy(self, stored: Stored) -> None:
        draft = self._copy.with_suffix(f".{os.getpid()}")
        try:
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(stored.to_json())
            draft.replace(self._copy)
        except OSError as error:
            log.warning("no copy of the experiments in %s: %s", self._copy, error)


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
