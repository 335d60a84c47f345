"""The rows of a lane that have no answer yet, queued or out, and everyone who waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from ekiben.process.budget import ByteBudget
from router.errors import Overloaded, RouterError
from router.lanes.answer import Served
from router.lanes.deadlines import Deadlines, Waiter

MAX_ROWS: Final = 256
MAX_BYTES: Final = 4 * 1024 * 1024
# What a request that waits takes besides its row.
_WAITER_BYTES: Final = 2048


class WaitingRow(msgspec.Struct, eq=False):
    """A row on its way, and everyone who waits for it."""

    row: bytes
    digest: str
    fresh: bool
    hurried: bool
    queued_at: float
    deadline: float = 0.0
    """The last of the waiters' deadlines."""
    held: int = 0
    """Bytes in the lane's budget."""
    requeued: bool = False
    parents: list[bytes] = []
    waiters: list[Waiter] = []

    def is_awaited(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not waiter.done() for waiter, _ in self.waiters)


class Waiting:
    """A lane's rows by what they ask for, the queue of those that no call has taken, and their bounds."""

    def __init__(self, max_rows: int, max_bytes: int, clock: Callable[[], float]) -> None:
        self.budget = ByteBudget(max_bytes)
        self.max_rows = max_rows
        self._queue: deque[WaitingRow] = deque()
        self._rows: dict[tuple[str, bool], WaitingRow] = {}
        self._deadlines = Deadlines(self._waiters, clock)

    @property
    def queued(self) -> int:
        """Rows that no call has taken yet."""
        return len(self._queue)

    def find(self, digest: str, fresh: bool) -> WaitingRow | None:
        """The row that somebody waits for already, if it is the same."""
        return self._rows.get((digest, fresh))

    def hold(self, row: bytes) -> int:
        """Take what one more request for `row` needs from the budget: so many bytes. Raises `Overloaded`."""
        held = len(row) + _WAITER_BYTES
        if not self.budget.take(held):
            raise Overloaded(f"requests of {self.budget.held} bytes are waiting for this version")
        return held

    def add(self, waiting: WaitingRow) -> None:
        """Queue a row that nobody waits for yet."""
        self._rows[waiting.digest, waiting.fresh] = waiting
        self._queue.append(waiting)

    def join(
        self, waiting: WaitingRow, held: int, deadline: float, traceparent: bytes | None, now: float
    ) -> asyncio.Future[Served]:
        """One more waits for the row until `deadline`: the future of its answer."""
        waiter: asyncio.Future[Served] = asyncio.get_running_loop().create_future()
        waiting.waiters.append((waiter, deadline))
        waiting.held += held
        if traceparent is not None:
            waiting.parents.append(traceparent)
        if deadline > waiting.deadline:
            waiting.deadline = deadline
        self._deadlines.watch(deadline, now)
        return waiter

    def take(self, mixed: bool, max_rows: int = MAX_ROWS) -> list[WaitingRow]:
        """The next batch, of at most `max_rows`. Rows in a hurry and others share one where `mixed`."""
        batch: list[WaitingRow] = []
        others: list[WaitingRow] = []
        size = 0
        while self._queue and len(batch) < max_rows:
            waiting = self._queue[0]
            if not waiting.is_awaited():
                self._forget(self._queue.popleft())
                continue
            if batch and waiting.hurried is not batch[0].hurried and not mixed:
                others.append(self._queue.popleft())
                continue
            size += len(waiting.row) + 1
            if batch and size > MAX_BYTES:
                break
            batch.append(self._queue.popleft())
        self._queue.extendleft(reversed(others))
        return batch

    def requeue(self, waiting: WaitingRow) -> None:
        """Queue a row once more, in a hurry: its call took the time that others had for it."""
        waiting.requeued = waiting.hurried = True
        self._queue.append(waiting)

    def holds(self, waiting: WaitingRow) -> bool:
        """Whether nothing has become of the row yet."""
        return self._rows.get((waiting.digest, waiting.fresh)) is waiting

    def resolve(self, waiting: WaitingRow, became: Served | RouterError) -> None:
        """Give everyone who waits for the row its answer, or what it failed with."""
        self._forget(waiting)
        for waiter, _ in waiting.waiters:
            if waiter.done():
                continue
            if isinstance(became, RouterError):
                waiter.set_exception(became)
            else:
                waiter.set_result(became)

    def close(self) -> None:
        """Stop watching deadlines where nobody waits."""
        if not self._rows:
            self._deadlines.close()

    def _forget(self, waiting: WaitingRow) -> None:
        if self.holds(waiting):
            del self._rows[waiting.digest, waiting.fresh]
            self.budget.give(waiting.held)

    def _waiters(self) -> Iterator[Waiter]:
        return (waiter for waiting in self._rows.values() for waiter in waiting.waiters)
