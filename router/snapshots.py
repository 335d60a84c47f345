"""Where a worker's snapshot comes from, and how it follows changes.

In order of precedence: the document in Redis; this worker's copy on disk, while Redis is away; the
experiments file, where neither holds anything. The file seeds an empty Redis, and is applied again only
when its content differs from what was applied last, and is new to this worker: files of several hosts change
one after the other, and who still has the old one does not put it back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from experiments.changes import check_change
from experiments.problems import DocumentError
from state.document import Conflict, StateUnavailable, Stored
from state.experiments_file import BadExperimentsFile, ExperimentsFile, parse_experiments
from state.held import Documents, HeldDocument

log = logging.getLogger(__name__)

_POLL_S: Final = 0.5


class SnapshotSource:
    """Keeps a worker's experiments up to date, and hands over each change."""

    def __init__(
        self,
        documents: Documents,
        experiments_file: Path,
        copy: Path,
        adopt: Callable[[Stored], None],
    ) -> None:
        self._documents = documents
        self._file = experiments_file
        self._held = HeldDocument(documents, copy)
        self._copy = copy
        self._adopt = adopt
        self._read: tuple[tuple[int, int, int], ExperimentsFile | None] | None = None
        self._refused: str | None = None
        self._settled: str | None = None
        self.state_reached = False
        self.confirmed_at: float | None = None
        """When Redis last said what is current, in seconds since 1970; None if never."""

    async def start(self) -> None:
        """Take the first snapshot from wherever there is one; without any, wait for `run` to find it."""
        await self.sync()
        if self._held.now is None and (copy := self._held.read_copy()) is not None:
            self._take(copy, f"from the copy in {self._copy}")
        if self._held.now is None and (read := self._read_file()) is not None:
            # Lineage "" and revision 0: Redis has never seen it, and any document there replaces it.
            self._take(Stored("", 0, read.digest, read.document), "from the experiments file")

    async def run(self, changed: asyncio.Event) -> None:
        """Follow changes: at once when `changed` is set, else every 500 ms."""
        while True:
            try:
                async with asyncio.timeout(_POLL_S):
                    await changed.wait()
            except TimeoutError:
                pass
            changed.clear()
            try:
                await self.sync()
            except Exception:
                log.exception("the experiments could not be brought up to date")

    async def sync(self) -> None:
        """One round: load, refill, apply the file, adopt."""
        try:
            stored = await self._apply_file(await self._held.load())
        except Conflict:
            return  # another worker was faster: the next round sees its work
        except StateUnavailable as error:
            if self.state_reached:
                log.warning("the state Redis is away, routing goes on as it was: %s", error)
            self.state_reached = False
            if self._held.now is not None and not self._held.now.lineage:
                self._follow_file(self._held.now)
            return
        self.state_reached = True
        self.confirmed_at = time.time()
        if stored is not None:
            self._take(stored, "from Redis")

    async def _apply_file(self, stored: Stored | None) -> Stored | None:
        read = self._read_file()
        if read is None or read.digest == self._refused:
            return stored
        if stored is not None and read.digest in (stored.applied, self._settled):
            # Applied once, here or by another worker. If another file has been applied since, that one is
            # newer: on other hosts the new file is there earlier, and the old one must not undo it.
            self._settled = read.digest
            return stored
        try:
            check_change(stored.document if stored else None, read.document)
            await self._documents.check_names(stored, read.document)
        except DocumentError as error:
            self._refuse(read.digest, "\n".join(error.problems))
            return stored
        changed = await self._documents.change(
            stored, read.document, who=str(self._file), why="the file changed", applied=read.digest
        )
        self._settled = read.digest
        log.info("%s applied as revision %d", self._file, changed.revision)
        return changed

    def _follow_file(self, held: Stored) -> None:
        # Never seen by Redis, so no other worker can be at odds with it.
        read = self._read_file()
        if read is not None and read.digest not in (held.applied, self._refused):
            try:
                check_change(held.document, read.document)
            except DocumentError as error:
                self._refuse(read.digest, "\n".join(error.problems))
                return
            self._take(Stored("", 0, read.digest, read.document), "from the experiments file")

    def _read_file(self) -> ExperimentsFile | None:
        try:
            stat = self._file.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._read is not None and self._read[0] == stamp:
                return self._read[1]
            content = self._file.read_bytes()
        except OSError:
            return None
        self._refused = None  # whoever saved it again wants to hear again
        read = None
        try:
            read = parse_experiments(content)
        except BadExperimentsFile as error:
            self._refuse("", str(error))
        self._read = stamp, read
        return read

    def _refuse(self, digest: str, problems: str) -> None:
        self._refused = digest
        for problem in problems.splitlines():
            log.error("%s is not applied: %s", self._file, problem)

    def _take(self, stored: Stored, source: str) -> None:
        if self._held.take(stored):
            self._adopt(stored)
            log.info("routing by revision %d, %s", stored.revision, source)
