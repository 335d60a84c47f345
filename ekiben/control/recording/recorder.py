"""The recorder: what routers put into Redis's streams becomes event files, each event once.

A round, for each stream, holds nothing from one to the next:

1. Take what is pending, then what is new, up to a limit.
2. Write it to files that nobody sees. Of what was taken before, leave out what a file's name says is written.
3. See that nothing else is pending in between; only then a file's range holds all that its name claims.
4. Let the files be seen, if the lease is still held.
5. Acknowledge and trim in one transaction.

A crash before 4 leaves entries pending, and nothing else. One after 4 leaves entries pending that lie in a
file's range: the next round acknowledges them and writes nothing. A recorder that lost the lease between
looking and 4 adds a file whose range others have too: readers leave it out, or reduce it by event_id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.control.recording.files import EventFiles, Held
from ekiben.control.recording.intake import Bad, Intake, NoGroup, Taken
from ekiben.control.recording.ranges import GENERATION, EventFile, unwritten_runs
from ekiben.control.recording.rows import Packed, entry_rows, of_later_kinds
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.control.recording.streams import STREAMS, Stream
from ekiben.process.tasks import end_tasks
from ekiben.state.entry_id import EntryId
from ekiben.state.lease import LeaseLost
from ekiben.state.streams.blocks import BadBlock
from ekiben.state.streams.events import KINDS

log = logging.getLogger(__name__)

# Compressed: some twenty times as much once it is rows.
MAX_ROUND_BYTES: Final = 4 * 1024 * 1024
_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 10.0
_LAST_ROUND_S: Final = 10.0


class Recorder:
    """Records while the lease is held. `redis` and `files` are not closed here."""

    def __init__(
        self,
        redis: Redis,
        files: EventFiles,
        lease: Held,
        every_s: float = 5.0,
        clock: Callable[[], float] = time.time,
        max_round_bytes: int = MAX_ROUND_BYTES,
    ) -> None:
        self._intakes = [(stream, Intake(redis, stream.key)) for stream in STREAMS]
        self._files = files
        self._lease = lease
        self._every_s = every_s
        self._clock = clock
        self._max_round_bytes = max_round_bytes
        self._names_known: set[str] = set()
        self._recorded: dict[str, EntryId] = {}
        self._failures: dict[str, str] = {}
        self._on_disk_until: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._stopping = False
        self.recorded = Counter(dict.fromkeys(KINDS, 0))
        self.bad_blocks = 0

    @property
    def failing(self) -> str | None:
        """Why nothing is recorded at the moment, or None. What is not recorded waits in Redis."""
        return next(iter(self._failures.values()), None)

    @property
    def lag_s(self) -> float | None:
        """Every event older than this, in seconds, is on disk. None before the first look, and on a
        controller that does not record."""
        if not self._on_disk_until or not self._lease.held():
            return None
        return max(0.0, self._clock() - min(self._on_disk_until.values()))

    def hurry(self) -> None:
        """Begin the next round now."""
        self._wake.set()

    async def run(self) -> None:
        """Record until cancelled; then once more, if the lease is still held."""
        rounds = asyncio.create_task(self._rounds())
        try:
            await asyncio.shield(rounds)
        except asyncio.CancelledError:
            self._stopping = True
            self._wake.set()
            await asyncio.wait([rounds], timeout=_LAST_ROUND_S)
            await end_tasks(rounds)
            raise

    async def _rounds(self) -> None:
        retry_s = _FIRST_RETRY_S
        while True:
            last, self._wake = self._stopping, asyncio.Event()
            more = await self.record_all()
            if last:
                return
            if self._failures:
                wait_s, retry_s = retry_s, min(retry_s * 2, _LAST_RETRY_S)
            else:
                wait_s, retry_s = 0.0 if more else self._every_s, _FIRST_RETRY_S
            if not self._stopping:
                try:
                    await asyncio.wait_for(self._wake.wait(), wait_s)
                except TimeoutError:
                    pass

    async def record_all(self) -> bool:
        """A round for each stream; whether one of them holds more. Raises nothing: see `failing`."""
        if not self._lease.held():
            self._failures.clear()
            self._on_disk_until.clear()
            self._names_known.clear()
            self._recorded.clear()
            return False
        more = False
        for stream, intake in self._intakes:
            try:
                more |= await self._record(stream, intake)
            except LeaseLost as lost:
                log.info("%s: %s", intake.stream, lost)
            # Whatever it is: a recorder that has ended is worse than one that says why it cannot.
            except Exception as error:
                if intake.stream not in self._failures:
                    expected = isinstance(error, (RedisError, OSError))
                    log.error(
                        "%s cannot be recorded, it waits: %s", intake.stream, error, exc_info=not expected
                    )
                self._failures[intake.stream] = f"{intake.stream} cannot be recorded: {error}"
            else:
                if self._failures.pop(intake.stream, None):
                    log.info("%s is recorded again", intake.stream)
        return more

    async def _record(self, stream: Stream, intake: Intake) -> bool:
        looked_at = self._clock()
        if stream.generation != GENERATION and not await intake.exists():
            self._note(intake, looked_at, None)
            return False
        try:
            recorded = self._recorded.get(intake.stream)
            if recorded is not None and await intake.raise_ids(recorded):
                log.warning("%s has lost its last entries: a replica that lagged?", intake.stream)
                self._names_known.discard(intake.stream)
            taken = await intake.take(self._max_round_bytes)
        except NoGroup:
            await intake.make_group(await asyncio.to_thread(last_recorded, self._files, stream))
            self._names_known.discard(intake.stream)
            taken = await intake.take(self._max_round_bytes)
        if taken.entries:
            self._note(intake, looked_at, taken.ids[0])
            await self._write_and_acknowledge(stream, intake, taken)
        self._names_known.add(intake.stream)
        self._note(intake, looked_at, await intake.oldest())
        return taken.full

    async def _write_and_acknowledge(self, stream: Stream, intake: Intake, taken: Taken) -> None:
        doubtful = taken.again or intake.stream not in self._names_known
        writing = _Writing(self._files, self._lease, stream, self._clock())
        try:
            await asyncio.to_thread(writing.stage, taken, doubtful)
            if not await intake.holds_all(taken):
                raise LeaseLost("another controller takes entries too: they are taken again")
            await asyncio.to_thread(writing.publish)
        finally:
            await asyncio.to_thread(writing.discard)
            self.recorded.update(writing.published)
        self._recorded[intake.stream] = max(taken.ids[-1], self._recorded.get(intake.stream, taken.ids[-1]))
        await intake.acknowledge(taken, writing.bad)
        self.bad_blocks += sum(len(one.entries) for one in writing.bad)

    def _note(self, intake: Intake, looked_at: float, oldest: EntryId | None) -> None:
        """Note that everything before the oldest entry not recorded is on disk."""
        self._on_disk_until[intake.stream] = min(looked_at, oldest.ms / 1000) if oldest else looked_at


def last_recorded(files: EventFiles, stream: Stream) -> EntryId | None:
    """The last entry that a file of the stream's kinds claims. Blocks."""
    return max((file.last for kind in stream.kinds for file in files.list(kind)), default=None)


class _Writing:
    """The files of one round of one stream. Its methods block."""

    def __init__(self, files: EventFiles, lease: Held, stream: Stream, now: float) -> None:
        self._files = files
        self._lease = lease
        self._stream = stream
        self._today = datetime.fromtimestamp(now, UTC).date()
        self._staged: list[tuple[Path, EventFile, int]] = []
        self.bad: list[Bad] = []
        self.published: Counter[str] = Counter()

    def stage(self, taken: Taken, doubtful: bool) -> None:
        """Write files that nobody sees; `doubtful` entries only where no file's range holds them."""
        by_kind: dict[str, dict[EntryId, Any]] = {kind: {} for kind in self._stream.kinds}
        later: dict[EntryId, Packed] = {}
        for entry in taken.entries:
            if not entry.fields:
                continue
            try:
                rows, unknown = entry_rows(self._stream, entry.id, entry.fields)
            except BadBlock as error:
                self.bad.append(Bad([entry.id], entry.fields, str(error)))
                continue
            for kind, batch in rows.items():
                by_kind[kind][entry.id] = batch
            if unknown:
                later[entry.id] = unknown
        self.bad += of_later_kinds(later)
        for kind, batches in by_kind.items():
            for run in unwritten_runs(batches, self._written(kind, taken) if doubtful else []):
                kept = [batches[entry] for entry in run]
                # Never a day before its entries', though this clock is behind Redis's: it would not be looked
                # for there, and be removed too early.
                day = max(self._today, datetime.fromtimestamp(run[-1].ms / 1000, UTC).date())
                file = EventFile(kind, day, run[0], run[-1], self._stream.generation)
                staged = self._files.stage(kept, SCHEMAS[kind])
                self._staged.append((staged, file, sum(each.num_rows for each in kept)))

    def _written(self, kind: str, taken: Taken) -> list[EventFile]:
        # A file lies under the day of recording, which is never before its entries'; a day for clocks.
        first_day = datetime.fromtimestamp(taken.ids[0].ms / 1000, UTC).date() - timedelta(days=1)
        first, last = taken.ids[0], taken.ids[-1]
        return [
            file
            for file in self._files.list(kind, first_day)
            if file.generation == self._stream.generation and file.first <= last and first <= file.last
        ]

    def publish(self) -> None:
        """Let them be seen, in stream order. Raises `LeaseLost`."""
        while self._staged:
            staged, file, rows = self._staged[0]
            self._files.publish(staged, file, self._lease)
            self._staged.pop(0)
            self.published[file.kind] += rows

    def discard(self) -> None:
        """Remove what was not published."""
        for staged, _, _ in self._staged:
            self._files.discard(staged)
