"""The applier: how an experiments file comes to be in force. `docs/decisions/0089` has the table.

There is one at a time: the controller that leads, or a router where no controller beats and the state Redis
is its own. From the text applied last to this one only the differences are applied
(`ekiben.experiments.changes.three_way`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, Protocol

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.differences import differences
from ekiben.experiments.changes.three_way import apply_text
from ekiben.experiments.changes.widening import widens
from ekiben.experiments.document import Document
from ekiben.experiments.problems import DocumentError
from ekiben.state.beats import FormerReaders
from ekiben.state.documents.document import Stored
from ekiben.state.documents.experiments_file import (
    MOST_BYTES,
    BadExperimentsFile,
    ExperimentsFile,
    parse_experiments,
)
from ekiben.state.documents.record import digest_of
from ekiben.state.documents.watched_file import SETTLE_S, Seen, WatchedFile
from ekiben.state.lease import Lease

log = logging.getLogger(__name__)

WIDEN_S: Final = 10.0
"""What lets more users in, or watches over them less, waits until the file was left alone for so long."""
NOT_KNOWN: Final = (
    "what was applied last is not known here (a program or an earlier release applied it), so what is new in "
    "this is not either: `ekiben diff FILE` shows what would change, `ekiben apply FILE`, confirmed, does it"
)

FileState = Literal["in force", "waits", "late", "refused", "missing", "not watched"]


class AppliedDocuments(Protocol):
    """Where the document is kept (`ekiben.state.documents.document.DocumentStore`)."""

    async def load(self) -> Stored | None: ...

    async def check(self, held: Stored | None, document: Document) -> None: ...

    async def change(
        self,
        held: Stored | None,
        document: Document,
        *,
        who: str,
        why: str,
        text: bytes | None = None,
        lease: Lease | None = None,
    ) -> Stored: ...

    async def note_text(self, held: Stored, text: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class FileStanding:
    """How the file stands: since when (seconds since 1970), and why, a line for each reason."""

    file: str
    state: FileState
    since: float
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds for which a file has to be left alone, and Redis has to be seen empty to be seeded."""

    settle_s: float = SETTLE_S
    widen_s: float = WIDEN_S
    empty_s: float = 0.0


WAITS: Final = Waits()


async def merge_text(documents: AppliedDocuments, held: Stored, last: Document, wanted: Document) -> Document:
    """What a file makes of the document in force. Raises DocumentError with every reason against it."""
    merged = await asyncio.to_thread(apply_text, last, wanted, held.document)
    check_change(held.document, merged)
    await documents.check(held, merged)
    return merged


async def last_text(held: Stored) -> Document | None:
    """The document of the text that was applied last, None where it is not known."""
    text = held.record.applied_text if held.record is not None else None
    if text is None:
        return None
    try:
        return (await asyncio.to_thread(parse_experiments, text)).document
    except BadExperimentsFile:
        return None  # this release is stricter than the one that applied it


class Applier:
    """Watches one file. `round` is to be called every half second or so while this process may apply.

    `may` says whether it may; `lease` is checked in the script that makes a change, where there is one. With
    `seeds_only` nothing is ever done but to fill an empty Redis.
    """

    def __init__(
        self,
        documents: AppliedDocuments,
        file: Path,
        may: Callable[[], Awaitable[bool]],
        *,
        lease: Lease | None = None,
        seeds_only: bool = False,
        waits: Waits = WAITS,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._documents = documents
        self._watched = WatchedFile(file, MOST_BYTES, clock, wall)
        self._may = may
        self._lease = lease
        self._seeds_only = seeds_only
        self._waits = waits
        self._clock = clock
        self._wall = wall
        self._who = f"{file} on {socket.gethostname()}"
        self._read = lru_cache(maxsize=1)(_read)
        self._last: tuple[str, Document] | None = None
        self._met: str | None = None  # the text that was first met, or is in force, since this one applies
        self._watches = False  # another text has come in its place since
        self._empty_since: float | None = None
        self._seeded = False
        self._refused: tuple[str, str, int, str] | None = None  # what was refused, on what
        self.standing = FileStanding(str(file), "not watched", wall())

    async def round(self) -> None:
        """One look. Raises `StateUnavailable`, and `Conflict` or `LeaseLost` when another was faster."""
        if self._seeded:
            return
        if not await self._may():
            self._met, self._watches, self._empty_since, self._refused = None, False, None, None
            self._stand("not watched")
            return
        try:
            seen = await asyncio.to_thread(self._watched.look)
        except OSError as error:
            self._stand("refused", f"it cannot be read: {error.strerror or error}")
            return
        if seen is None:
            self._stand("missing")
            return
        stored = await self._documents.load()
        self._seeded = self._seeds_only and stored is not None
        if self._seeded:
            self._stand("not watched")
            return
        await self._follow(seen, stored)

    async def _follow(self, seen: Seen, stored: Stored | None) -> None:
        digest = digest_of(seen.content)
        if stored is not None:
            self._empty_since = None
        if stored is not None and digest == stored.applied:
            self._met, self._watches = digest, False
            read = await asyncio.to_thread(self._read, seen.content)
            if isinstance(read, ExperimentsFile) and (self._last is None or self._last[0] != digest):
                if stored.record is not None and stored.record.applied_text is None:
                    await self._documents.note_text(stored, read.text)  # an earlier release applied it
                self._last = digest, read.document
            self._stand("in force")
            return
        if seen.steady_s < self._waits.settle_s:
            self._stand("waits", f"until it has been left alone for {self._waits.settle_s:g} s")
            return
        if self._met is None:
            self._met = digest
        self._watches |= digest != self._met
        read = await asyncio.to_thread(self._read, seen.content)
        if isinstance(read, BadExperimentsFile):
            self._stand("refused", *str(read).splitlines())
        elif stored is None:
            await self._seed(read)
        elif not self._watches and stored.record is not None and digest in stored.record.earlier:
            self._stand("late", "an older text of the one that is in force: it is not put back")
        else:
            await self._apply(read, seen, stored)

    async def _seed(self, read: ExperimentsFile) -> None:
        """Fill an empty Redis, unless somebody who knows more puts the document back first."""
        now = self._clock()
        self._empty_since = now if self._empty_since is None else self._empty_since
        if now - self._empty_since < self._waits.empty_s:
            return
        try:
            check_change(None, read.document)
            await self._documents.check(None, read.document)
        except DocumentError as error:
            self._stand("refused", *error.problems)
            return
        await self._documents.change(
            None, read.document, who=self._who, why="the first experiments", text=read.text, lease=self._lease
        )
        self._empty_since = None
        log.info("%s applied: there were no experiments", self._watched.path)
        self._last = read.digest, read.document
        self._stand("in force")

    async def _apply(self, read: ExperimentsFile, seen: Seen, stored: Stored) -> None:
        case = read.digest, stored.lineage, stored.revision, stored.applied
        if case == self._refused:
            return  # it is as it was
        self._refused = None
        try:
            last = await self._last_applied(stored)
            if last is None and differences(stored.document, read.document):
                self._refused = case
                self._stand("refused", NOT_KNOWN)
                return
            merged = await merge_text(self._documents, stored, last or read.document, read.document)
        except DocumentError as error:
            self._refused = None if isinstance(error, FormerReaders) else case  # those end by themselves
            self._stand("refused", *error.problems)
            return
        wider = widens(stored.document, merged)
        if wider and seen.steady_s < self._waits.widen_s:
            self._stand(
                "waits",
                f"until it has been left alone for {self._waits.widen_s:g} s, since it opens something",
                *wider,
            )
            return
        if merged == stored.document:
            await self._documents.note_text(stored, read.text)
        else:
            changed = await self._documents.change(
                stored, merged, who=self._who, why="the file changed", text=read.text, lease=self._lease
            )
            log.info("%s applied as revision %d", self._watched.path, changed.revision)
        self._met, self._watches = read.digest, False
        self._last = read.digest, read.document
        self._stand("in force")

    async def _last_applied(self, stored: Stored) -> Document | None:
        if self._last is None or self._last[0] != stored.applied:
            found = await last_text(stored)
            self._last = None if found is None else (stored.applied, found)
        return None if self._last is None else self._last[1]

    def _stand(self, state: FileState, *lines: str) -> None:
        """Know how the file stands; what is new is logged."""
        held = self.standing
        if (held.state, held.lines) == (state, lines):
            return
        self._refused = self._refused if state == "refused" else None
        since = held.since if held.state == state else self._wall()
        self.standing = FileStanding(held.file, state, since, lines)
        level = {"refused": logging.ERROR, "late": logging.WARNING}.get(state, logging.INFO)
        words = {"refused": "is not applied", "late": "is not applied", "waits": "waits"}
        for line in lines if state in words else ():
            log.log(level, "%s %s: %s", held.file, words[state], line)


def _read(content: bytes) -> ExperimentsFile | BadExperimentsFile:
    try:
        return parse_experiments(content)
    except BadExperimentsFile as error:
        return error
