"""The lane: one version's queue and batcher in a worker.

Theory of operation:

1. A row is queued once, however many wait for it: identical rows in flight share one call.
2. A batch is what has queued while the last call was out, at most `MAX_ROWS` rows and `MAX_BYTES`.
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
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec
import orjson

from ekiben.process.budget import ByteBudget
from router.errors import (
    DeadlinePassed,
    Overloaded,
    RouterError,
    VersionFailed,
    VersionMalformed,
    VersionUnavailable,
)
from router.lanes.answer import UNKNOWN_OUTPUT, Answer, OutputFields, read_answer
from router.lanes.cache import LocalCache, SharedCache, cache_key
from router.lanes.endpoints import Endpoints
from router.lanes.lag import GRACE_S, STALL_S, LoopLag

log = logging.getLogger(__name__)

MAX_ROWS: Final = 256
MAX_BYTES: Final = 4 * 1024 * 1024
# What a request that waits takes besides its row.
_WAITER_BYTES: Final = 2048
# Deadlines are looked at no more often than this, and in a twentieth of the time: with thousands of rows that
# wait a look takes a millisecond.
_RING_S: Final = 0.005
_RING_SHARE: Final = 20
# uvloop counts in whole milliseconds: its timers may ring so much too soon.
_EARLY_S: Final = 0.002
# What came from Redis has an unknown age: it is kept here so long and no longer, however long its TTL.
_LOCAL_TTL_OF_SHARED_S: Final = 10.0


class Served(msgspec.Struct, frozen=True, gc=False):
    """An answer and how it came about: the cache tier it came from, and where the time went, in ms."""

    answer: Answer
    tier: str | None = None
    cache_ms: float = 0.0
    queue_ms: float = 0.0
    model_ms: float = 0.0


class LaneMetrics(Protocol):
    """What a lane counts."""

    def waited(self, seconds: Sequence[float]) -> None:
        """Rows left the queue; so long each has waited."""

    def batch(self, rows: int, call_s: float) -> None:
        """A bulk call of `rows` rows came back after `call_s` seconds."""

    def looked_up(self, hits: int, misses: int) -> None:
        """A look-up in Redis."""


class _Pending:
    """A row on its way, and everyone who waits for it."""

    __slots__ = (
        "deadline", "digest", "fresh", "held", "hurried", "parents", "queued_at", "requeued", "row", "waiters"
    )  # fmt: skip

    def __init__(self, row: bytes, digest: str, fresh: bool, hurried: bool, queued_at: float) -> None:
        self.row = row
        self.digest = digest
        self.fresh = fresh
        self.hurried = hurried
        self.queued_at = queued_at
        self.deadline = 0.0
        self.held = 0
        self.requeued = False
        self.parents: list[bytes] = []
        self.waiters: list[tuple[asyncio.Future[Served], float]] = []

    def is_awaited(self) -> bool:
        return any(not waiter.done() for waiter, _ in self.waiters)


class Lane:
    """A version's queue and batcher. Not thread-safe: it lives in one event loop."""

    def __init__(
        self,
        model: str,
        version: str,
        endpoints: Endpoints,
        shared: SharedCache,
        local: LocalCache,
        metrics: LaneMetrics,
        *,
        ttl_s: int,
        max_queue: int = 4096,
        max_bytes: int = 4 * MAX_BYTES,
        lag: LoopLag | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._version = version
        self.budget = ByteBudget(max_bytes)
        self.endpoints = endpoints
        self.output: OutputFields = UNKNOWN_OUTPUT
        self.model_version: str | None = None
        self._shared = shared
        self._local = local
        self._metrics = metrics
        self._ttl_s = ttl_s
        self._max_queue = max_queue
        self._lag = lag or LoopLag()
        self._clock = clock
        self._queue: deque[_Pending] = deque()
        self._pending: dict[tuple[str, bool], _Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking = False
        self._batch_s = 0.0
        self._bell: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    @property
    def queued(self) -> int:
        """Rows that no call has taken yet."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Batches that are out."""
        return len(self._tasks)

    def learn(self, model_version: str, output: OutputFields) -> None:
        """What the service says it is: look-ups use this tag from now on."""
        self.output = output
        self.model_version = model_version

    def recall(self, digest: str) -> Answer | None:
        """The answer to a row, if this worker gave it lately."""
        answer = self._local.get(digest, self._clock())
        return answer if answer is not None and answer.model_version == self.model_version else None

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
        now = self._clock()
        loop = asyncio.get_running_loop()
        if deadline < now + GRACE_S:
            deadline = now + GRACE_S
        held = len(row) + _WAITER_BYTES
        key = (digest, fresh)
        pending = self._pending.get(key)
        if pending is None:
            self._refuse_if_hopeless(now, deadline)
        if not self.budget.take(held):
            raise Overloaded(f"requests of {self.budget.held} bytes are waiting for this version")
        if pending is None:
            pending = self._pending[key] = _Pending(row, digest, fresh, hurried, now)
            self._queue.append(pending)
            self._wake_soon(loop)
        waiter: asyncio.Future[Served] = loop.create_future()
        pending.waiters.append((waiter, deadline))
        pending.held += held
        if traceparent is not None:
            pending.parents.append(traceparent)
        if deadline > pending.deadline:
            pending.deadline = deadline
        if deadline < self._rings_at:
            self._ring_at(deadline, now)
        return waiter

    async def close(self, grace_s: float) -> None:
        """Let what is out come back, at most for `grace_s` seconds, then end it."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                task.cancel()
        if self._bell is not None and not self._pending:
            self._bell.cancel()  # it would keep the lane, with its cache
            self._bell, self._rings_at = None, math.inf

    def _refuse_if_hopeless(self, now: float, deadline: float) -> None:
        queued = len(self._queue)
        if queued >= self._max_queue:
            raise Overloaded(f"{queued} requests are waiting for this version")
        # Judged only behind a full batch: a queue that never refuses its first rows never stops learning.
        if queued >= MAX_ROWS:
            batches = 1 + queued / MAX_ROWS
            if now + batches * self._batch_s / self.endpoints.capacity > deadline:
                raise Overloaded("the queue is too long to be answered in time")

    def _wake_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        # Requests that are parsed in this turn of the event loop still join the batch.
        if not self._waking:
            self._waking = True
            loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        while self._queue and len(self._tasks) < self.endpoints.capacity:
            batch = self._take()
            if batch:
                task = asyncio.get_running_loop().create_task(self._run(batch))
                self._tasks.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake()

    def _take(self) -> list[_Pending]:
        batch: list[_Pending] = []
        others: list[_Pending] = []
        size = 0
        mixed = len(self.endpoints.all) < 2
        while self._queue and len(batch) < MAX_ROWS:
            pending = self._queue[0]
            if not pending.is_awaited():
                self._forget(self._queue.popleft())
                continue
            if batch and pending.hurried is not batch[0].hurried and not mixed:
                others.append(self._queue.popleft())
                continue
            size += len(pending.row) + 1
            if batch and size > MAX_BYTES:
                break
            batch.append(self._queue.popleft())
        self._queue.extendleft(reversed(others))
        return batch

    async def _run(self, batch: list[_Pending]) -> None:
        started = self._clock()
        self._metrics.waited([started - pending.queued_at for pending in batch])
        try:
            misses = await self._look_up(batch, started)
            if misses:
                await self._ask(misses, started, (self._clock() - started) * 1000)
        except VersionFailed as error:
            self._fail(batch, error)
        except asyncio.CancelledError:
            self._fail(batch, VersionUnavailable("the router is stopping"))
            raise
        except Exception:
            log.exception("a batch failed unexpectedly")
            self._fail(batch, VersionUnavailable("internal error"))
        finally:
            self._batch_s += 0.2 * (self._clock() - started - self._batch_s)

    async def _look_up(self, batch: list[_Pending], started: float) -> list[_Pending]:
        tag = self.model_version
        asked = [pending for pending in batch if not pending.fresh] if tag and self._ttl_s else []
        if tag is None or not asked:
            return batch
        keys = [cache_key(self._model, self._version, tag, pending.digest) for pending in asked]
        found = await self._shared.get_many(keys)
        now = self._clock()
        expires = now + min(_LOCAL_TTL_OF_SHARED_S, self._ttl_s)
        misses = [pending for pending in batch if pending.fresh]
        for pending, value in zip(asked, found, strict=True):
            answer = None if value is None else self._read_cached(value, tag)
            if answer is None:
                misses.append(pending)
                continue
            self._local.put(pending.digest, answer, expires)
            self._resolve(
                pending,
                Served(answer, "redis", (now - started) * 1000, (started - pending.queued_at) * 1000),
            )
        self._metrics.looked_up(len(batch) - len(misses), len(misses))
        return misses

    def _read_cached(self, value: bytes, tag: str) -> Answer | None:
        try:
            return read_answer(orjson.loads(value), tag, self.output)
        except (orjson.JSONDecodeError, VersionMalformed):
            return None  # rubbish in the cache is a miss

    async def _ask(self, rows: Sequence[_Pending], started: float, cache_ms: float) -> None:
        called = self._clock()
        # What the loop stood still since the last row came is not taken from the endpoint's time.
        deadline = max(pending.deadline for pending in rows) + self._lag.since(rows[-1].queued_at)
        parents = [parent for pending in rows for parent in pending.parents]
        found = await self.endpoints.call(
            [pending.row for pending in rows], deadline, self.output, parents, self._wake
        )
        now = self._clock()
        self._metrics.batch(len(rows), now - called)
        model_ms = (now - called) * 1000
        expires = now + self._ttl_s
        stores: list[tuple[str, bytes]] = []
        for pending, became in zip(rows, found, strict=True):
            if isinstance(became, RouterError):
                self._reject(pending, became)
                continue
            self.model_version = became.model_version
            if self._ttl_s:
                key = cache_key(self._model, self._version, became.model_version, pending.digest)
                stores.append((key, became.body))
                self._local.put(pending.digest, became, expires)
            queue_ms = (started - pending.queued_at) * 1000
            self._resolve(pending, Served(became, None, cache_ms, queue_ms, model_ms))
        if stores:
            self._shared.put_many(stores, self._ttl_s)

    def _resolve(self, pending: _Pending, served: Served) -> None:
        self._forget(pending)
        for waiter, _ in pending.waiters:
            if not waiter.done():
                waiter.set_result(served)

    def _reject(self, pending: _Pending, error: RouterError) -> None:
        self._forget(pending)
        for waiter, _ in pending.waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _fail(self, batch: list[_Pending], error: VersionFailed) -> None:
        now = self._clock()
        for pending in batch:
            if self._pending.get((pending.digest, pending.fresh)) is not pending:
                continue  # answered before the failure
            # Who joined while the call was out has time left when it runs out: one more try.
            in_time = isinstance(error, DeadlinePassed) and pending.deadline > now
            if in_time and not pending.requeued and pending.is_awaited():
                pending.requeued = pending.hurried = True
                self._queue.append(pending)
            else:
                self._reject(pending, error)

    def _forget(self, pending: _Pending) -> None:
        key = (pending.digest, pending.fresh)
        if self._pending.get(key) is pending:
            del self._pending[key]
            self.budget.give(pending.held)

    # Nearly every waiter is answered long before its deadline. A timer each would cost as much as the rest of
    # `submit` does.

    def _ring_at(self, when: float, now: float) -> None:
        if self._bell is not None:
            self._bell.cancel()
        self._rings_at = when
        self._bell = asyncio.get_running_loop().call_later(when - now, self._expire)

    def _expire(self, stalled_at: float | None = None) -> None:
        """The first deadline may be over. Fail who has waited for so long, and ring again for the next.

        After a stall that ended at `stalled_at`, only who had waited for so long by then.
        """
        now = self._clock()
        loop = asyncio.get_running_loop()
        if stalled_at is None and now - self._rings_at > STALL_S:
            # The loop stood still, and answers may have come meanwhile: what has arrived is read first.
            self._bell = loop.call_later(GRACE_S, self._expire, now)
            return
        self._bell, self._rings_at = None, math.inf
        over = now + _EARLY_S if stalled_at is None else stalled_at
        following = math.inf
        for pending in self._pending.values():
            for waiter, deadline in pending.waiters:
                if waiter.done():
                    continue
                if deadline <= over:
                    waiter.set_exception(DeadlinePassed("no answer before the deadline"))
                elif deadline < following:
                    following = deadline
        if following < math.inf:
            looked_s = self._clock() - now
            self._ring_at(max(following, now + max(_RING_S, _RING_SHARE * looked_s)), now)
