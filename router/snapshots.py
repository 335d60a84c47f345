"""Where a worker's snapshot comes from, and how it follows changes.

In order of precedence: the document in Redis; this worker's copy on disk, while Redis is away. Where there is
neither, and the state Redis is to be the embedded one of this data directory but nobody has started it
(`bentoml serve` of the router alone), the experiments file. What is read is read in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, InitVar, dataclass
from pathlib import Path
from typing import Final

from ekiben.experiments.snapshot import Snapshot
from ekiben.state.connecting import StateUnavailable, Unreadable
from ekiben.state.documents.applying import Applier, FileStanding
from ekiben.state.documents.document import Conflict, Stored, read_record
from ekiben.state.documents.held import Documents, HeldDocument
from ekiben.state.documents.record import Record
from ekiben.state.trouble import Trouble
from router.development import FileAlone

log = logging.getLogger(__name__)

# So long a worker does not start for experiments that are coming, at most, looking so often.
_FIRST_S: Final = 10.0
_FIRST_LOOK_S: Final = 0.05


@dataclass(eq=False)
class SnapshotSource:
    """Keeps a worker's experiments up to date, and hands over each change.

    `adopt` takes a document to route by, with its snapshot if there is one, and returns what went out of use.
    `applier` applies the experiments file where no controller does. `alone` has what to route by without any
    Redis.
    """

    documents: InitVar[Documents]
    copy: Path
    adopt: Callable[[Stored, Snapshot | None], object]
    _: KW_ONLY
    applier: Applier | None = None
    alone: FileAlone | None = None

    def __post_init__(self, documents: Documents) -> None:
        self._held = HeldDocument(documents, self.copy)
        self._adopted: Stored | None = None
        self._trouble = Trouble()
        self._overtaken = False
        self.confirmed_at: float | None = None
        """When Redis last said what is current, in seconds since 1970; None if never."""

    @property
    def trouble(self) -> str | None:
        """Why the experiments are not those that Redis holds; None while they are."""
        return self._trouble.what

    @property
    def file(self) -> FileStanding | None:
        """How the experiments file stands, where this process looks after it."""
        alone = self._adopted is not None and not self._adopted.lineage
        looks_after = self.alone if alone else self.applier
        return None if looks_after is None else looks_after.standing

    async def start(self) -> None:
        """Take the first snapshot from wherever there is one. One that is coming is waited for, so that of
        several workers none takes requests before it can route them; without any, a later round finds it.
        """
        end = time.monotonic() + _FIRST_S
        await self.sync()
        while self._adopted is None and self._is_coming and time.monotonic() < end:
            await asyncio.sleep(_FIRST_LOOK_S)
            await self.sync()

    @property
    def _is_coming(self) -> bool:
        files = (each for each in (self.applier, self.alone) if each is not None)
        return self._overtaken or any(each.standing.state == "waits" for each in files)

    async def sync(self) -> None:
        """One round: what Redis holds, put back or joined where it must be, is what is routed by."""
        self._overtaken = False
        try:
            record = await self._held.load()
            if self.applier is not None:
                await self.applier.round()
                record = await self._held.load()
            if record is not None:
                await self._take(record, "from Redis")
        except Conflict:
            self._overtaken = True  # another worker was faster: the next round sees its work
        except Unreadable as error:
            self._trouble.tell(str(error), "routing continues as it was")
            await self._take_copy()
        except StateUnavailable as error:
            self._trouble.tell(f"the state Redis is away: {error}", "routing continues as it was")
            await self._take_copy()
            await self._follow_file()
        except Exception as error:
            log.exception("the experiments could not be brought up to date")
            self._trouble.tell(f"unexpected {type(error).__name__}", "routing continues as it was")
        else:
            self._trouble.over()
            self.confirmed_at = time.time()

    async def _take_copy(self) -> None:
        if self._adopted is None and (copy := await asyncio.to_thread(self._held.read_copy)) is not None:
            await self._take(copy, f"from the copy in {self.copy}")

    async def _follow_file(self) -> None:
        """Where no Redis was ever reached: the file. One that cannot be read is not one that is not there."""
        if self.alone is None or (self._adopted is not None and self._adopted.lineage):
            return
        stored = await self.alone.round()
        if stored is not None and stored != self._adopted:
            self._adopted = stored
            self.adopt(stored, None)
            log.info("routing by the experiments file alone: no Redis was reached")

    async def _take(self, record: Record, source: str) -> None:
        if not self._held.is_new(record):
            return
        stored, snapshot = await asyncio.to_thread(_compiled, record)
        former = [self._adopted, self.adopt(stored, snapshot)]
        self._held.take(record)
        self._adopted = stored
        del snapshot
        log.info("routing by revision %d, %s", stored.revision, source)
        for key, why in stored.kept.not_run.items():
            log.warning("the experiment %s is not run here, everyone gets live: %s", key, why)
        await self._held.keep()
        await asyncio.to_thread(former.clear)


def _compiled(record: Record) -> tuple[Stored, Snapshot]:
    stored = read_record(record, routing=True)
    return stored, Snapshot(stored.lineage, stored.revision, stored.document)
