"""The lane: one version's queue and batcher in a worker.

Theory of operation:

1. A row is queued once, however many wait for it: identical rows in flight share one call.
2. A batch is what has queued while the last call was out, at most `MAX_ROWS` rows (one, where a
   call takes only one) and `MAX_BYTES`.
   The lane never waits to fill one.
3. A batch is looked up in the cache at once, and what it misses is asked of the service in one call.
4. At most as many batches are out as the endpoints can work on. More would only be smaller. Rows that are in
   a hurry get batches of their own where there are several endpoints: the first of them is given half of a
   batch's time, which may be all that such a row has.
5. Each waiter has its own deadline, and may leave; neither touches the row or the others. One timer of the
   lane rings for all deadlines.
6. What waits is bounded in rows and in bytes, for each lane by itself: a version that hangs fills its own
   queue and no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Final

import orjson

from ekiben.experiments.version import UNVERSIONED
from router.errors import (
    DeadlinePassed,
    Overloaded,
    RouterError,
    VersionFailed,
    VersionMalformed,
    VersionUnavailable,
)
from router.lanes.answer import Answer, Served, read_answer
from router.lanes.attempt import Batch
from router.lanes.cache import LocalCache, SharedCache, cache_key
from router.lanes.endpoints import Endpoints
from router.lanes.lag import GRACE_S, LoopLag
from router.lanes.waiting import MAX_BYTES, Waiting, WaitingRow
from router.records.metrics import VersionMetrics

log = logging.getLogger(__name__)

# An answer from Redis has an unknown age. The worker keeps it no longer than this, whatever its TTL in Redis.
_LOCAL_TTL_OF_SHARED_S: Final = 10.0


@dataclass(eq=False)
class Lane:
    """A version's queue and batcher. Not thread-safe: it lives in one event loop."""

    model: str
    version: str
    endpoints: Endpoints
    shared: SharedCache
    local: LocalCache
    metrics: VersionMetrics
    _: KW_ONLY
    ttl_s: int
    max_queue: InitVar[int] = 4096
    lag: LoopLag = field(default_factory=LoopLag)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self, max_queue: int) -> None:
        self._known = self.endpoints.known
        self.waiting = Waiting(max_queue, 4 * MAX_BYTES, self.clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking = False
        self._batch_s = 0.0

    def recall(self, digest: str) -> Answer | None:
        """The answer to a row, if this worker gave it lately."""
        answer = self.local.get(digest, self.clock())
        return answer if answer is not None and answer.model_version == self._known.model_version else None

    def submit(
        self,
        row: bytes,
        digest: str,
        deadline: float,
        fresh: bool = False,
        traceparent: bytes | None = None,
        hurried: bool = False,
    ) -> asyncio.Future[Served]:
        """Queue a row and return the future of its answer.

        The future fails with `RowRefused`, `VersionFailed` or, at `deadline`, `DeadlinePassed`. `fresh` skips
        the look-up; the call that takes the row belongs to the trace of `traceparent`, among others. Who has
        waited for another version in vain is `hurried`, and has less time than others. Raises `Overloaded`
        when the queue is full, by rows or by bytes, or could not be worked off in time.
        """
        now = self.clock()
        if deadline < now + GRACE_S:
            deadline = now + GRACE_S
        waiting = self.waiting.find(digest, fresh)
        if waiting is None:
            self._refuse_if_hopeless(now, deadline)
        held = self.waiting.hold(row)
        if waiting is None:
            waiting = WaitingRow(row, digest, fresh, hurried, now)
            self.waiting.add(waiting)
            self._wake_soon()
        return self.waiting.join(waiting, held, deadline, traceparent, now)

    async def close(self, grace_s: float) -> None:
        """Let what is out come back, at most for `grace_s` seconds, then end it."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
        self.waiting.close()

    def _refuse_if_hopeless(self, now: float, deadline: float) -> None:
        queued = self.waiting.queued
        if queued >= self.waiting.max_rows:
            raise Overloaded(f"{queued} requests are waiting for this version")
        # Judged only behind a full batch: a queue that never refuses its first rows never stops learning.
        if queued >= self.endpoints.max_rows:
            batches = 1 + queued / self.endpoints.max_rows
            if now + batches * self._batch_s / self.endpoints.capacity > deadline:
                raise Overloaded("the queue is too long to be answered in time")

    def _wake_soon(self) -> None:
        # Requests that are parsed in this turn of the event loop still join the batch.
        if not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        while self.waiting.queued and len(self._tasks) < self.endpoints.capacity:
            batch = self.waiting.take(len(self.endpoints.all) < 2, self.endpoints.max_rows)
            if batch:
                task = asyncio.get_running_loop().create_task(self._run(batch))
                self._tasks.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake()

    async def _run(self, batch: list[WaitingRow]) -> None:
        started = self.clock()
        self.metrics.waited([started - waiting.queued_at for waiting in batch])
        try:
            misses = await self._look_up(batch, started)
            if misses:
                await self._ask(misses, started, (self.clock() - started) * 1000)
        except VersionFailed as error:
            self._fail(batch, error)
        except asyncio.CancelledError:
            self._fail(batch, VersionUnavailable("the router is stopping"))
            raise
        except Exception:
            log.exception("a batch failed unexpectedly")
            self._fail(batch, VersionUnavailable("internal error"))
        finally:
            self._batch_s += 0.2 * (self.clock() - started - self._batch_s)

    async def _look_up(self, batch: list[WaitingRow], started: float) -> list[WaitingRow]:
        """Answer what the cache has, and return the rest."""
        tag = self._known.model_version
        asked = [waiting for waiting in batch if not waiting.fresh] if tag and self.ttl_s else []
        if tag is None or not asked:
            return batch
        found = await self.shared.get_many([self._key(tag, waiting) for waiting in asked])
        now = self.clock()
        expires = now + min(_LOCAL_TTL_OF_SHARED_S, self.ttl_s)
        misses = [waiting for waiting in batch if waiting.fresh]
        for waiting, value in zip(asked, found, strict=True):
            answer = None if value is None else self._read_cached(value, tag)
            if answer is None:
                misses.append(waiting)
                continue
            self.local.put(waiting.digest, answer, expires)
            queue_ms = (started - waiting.queued_at) * 1000
            self.waiting.resolve(waiting, Served(answer, "redis", (now - started) * 1000, queue_ms))
        self.metrics.looked_up(len(batch) - len(misses), len(misses))
        return misses

    def _key(self, model_version: str, waiting: WaitingRow) -> str:
        return cache_key(self.model, self.version, model_version, waiting.digest)

    def _read_cached(self, value: bytes, tag: str) -> Answer | None:
        try:
            return read_answer(orjson.loads(value), tag, self._known.output)
        except (orjson.JSONDecodeError, VersionMalformed):
            return None  # rubbish in the cache is a miss

    async def _ask(self, rows: Sequence[WaitingRow], started: float, cache_ms: float) -> None:
        """Ask the service for `rows`, answer who waits for them, and store the answers."""
        called = self.clock()
        # What the loop stood still since the last row came is not taken from the endpoint's time.
        deadline = max(waiting.deadline for waiting in rows) + self.lag.since(rows[-1].queued_at)
        parents = [parent for waiting in rows for parent in waiting.parents]
        batch = Batch([waiting.row for waiting in rows], deadline, parents, self._wake)
        found = await self.endpoints.call(batch)
        now = self.clock()
        self.metrics.batch(len(rows), now - called)
        model_ms = (now - called) * 1000
        expires = now + self.ttl_s
        stores: list[tuple[str, bytes]] = []
        for waiting, became in zip(rows, found, strict=True):
            if isinstance(became, RouterError):
                self.waiting.resolve(waiting, became)
                continue
            if self.ttl_s and became.model_version != UNVERSIONED:
                stores.append((self._key(became.model_version, waiting), became.body))
                self.local.put(waiting.digest, became, expires)
            queue_ms = (started - waiting.queued_at) * 1000
            self.waiting.resolve(waiting, Served(became, None, cache_ms, queue_ms, model_ms))
        if stores:
            self.shared.put_many(stores, self.ttl_s)

    def _fail(self, batch: list[WaitingRow], error: VersionFailed) -> None:
        """The batch failed as a whole. There are three cases.

        1. The row was answered before the failure, from the cache: nothing is left to do.
        2. Somebody joined while the call was out and has time left when the call has none: one more try.
        3. Everyone who waits for the row gets the failure.
        """
        now = self.clock()
        for waiting in batch:
            if not self.waiting.holds(waiting):
                continue
            in_time = isinstance(error, DeadlinePassed) and waiting.deadline > now
            if in_time and not waiting.requeued and waiting.is_awaited():
                self.waiting.requeue(waiting)
            else:
                self.waiting.resolve(waiting, error)
