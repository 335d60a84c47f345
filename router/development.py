"""The router without a controller, on one machine: then it looks after the experiments file itself.

| the state Redis | the router |
|---|---|
| the embedded one of its data directory, no controller beats | applies the file as a controller would |
| another one on this machine, and empty | fills it from the file, once |
| the embedded one, and nobody has started it | routes by the file alone |
| any other | never reads the file: `ekiben apply FILE` |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.experiments.document import Document
from ekiben.process.http.names import is_loopback
from ekiben.state.documents.applying import WAITS, Applier, FileStanding, Waits
from ekiben.state.documents.document import DocumentStore, Stored
from ekiben.state.documents.record import digest_of
from ekiben.state.embedded import embedded_state_url
from ekiben.state.lease import LEASE_KEY
from router.settings import Settings


def file_applier(documents: DocumentStore, redis: Redis, settings: Settings) -> Applier | None:
    """What looks after the experiments file in this router, None where it never does."""
    if not _is_local(settings.state_url):
        return None

    if not _is_own(settings):
        return Applier(documents, settings.experiments_file, _always, seeds_only=True)

    async def may() -> bool:
        try:
            return not await cast("Any", redis.exists(LEASE_KEY))
        except (RedisError, OSError):
            return False

    return Applier(documents, settings.experiments_file, may)


class FileAlone:
    """The experiments file to route by without any Redis: the applier's rules, on a document in memory."""

    def __init__(self, file: Path, waits: Waits = WAITS) -> None:
        self._applier = Applier(self, file, _always, waits=waits)
        self._stored: Stored | None = None

    async def round(self) -> Stored | None:
        """Look at the file; the document as it is now. Lineage "" and revision 0: Redis has never seen it."""
        await self._applier.round()
        return self._stored

    @property
    def standing(self) -> FileStanding:
        """How the file stands."""
        return self._applier.standing

    async def load(self) -> Stored | None:
        """The document in memory, for the applier."""
        return self._stored

    async def check(self, held: Stored | None, document: Document) -> None:
        """No Redis knows anything against it."""

    async def change(
        self, held: Stored | None, document: Document, *, text: bytes | None = None, **_by: object
    ) -> Stored:
        """Keep what the applier has read."""
        self._stored = Stored("", 0, digest_of(text) if text is not None else "", document)
        return self._stored

    async def note_text(self, held: Stored, text: bytes) -> None:
        """Keep which text it is."""
        self._stored = Stored("", 0, digest_of(text), held.document)


def file_alone(settings: Settings) -> FileAlone | None:
    """What to route by where the embedded Redis of the data directory was not started; None elsewhere."""
    return FileAlone(settings.experiments_file) if _is_own(settings) else None


async def _always() -> bool:
    return True


def _is_own(settings: Settings) -> bool:
    return settings.state_url == embedded_state_url(settings.data_dir)


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "unix" or is_loopback(parts.hostname or "")
