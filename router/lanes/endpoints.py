"""The endpoints of one version: which of them takes the next call, and what becomes of a failed one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Final

from router.errors import VersionFailed, VersionUnavailable
from router.lanes.answer import Row
from router.lanes.attempt import LEAST_TIME_S, Attempt, Batch
from router.lanes.endpoint import Endpoint
from router.lanes.known import Known
from router.lanes.waiting import MAX_ROWS

_SEARCHES: Final = 8
"""How many searches for guilty rows go on beside each ordinary call."""


@dataclass(eq=False)
class Endpoints:
    """The endpoints of a version: least loaded of two, with one retry on another within a budget."""

    all: Sequence[Endpoint]
    workers: int = 1
    """Calls that each works on at once."""
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random
    version: InitVar[str] = ""
    good_rows: InitVar[dict[str, bytes] | None] = None
    max_rows: int = MAX_ROWS
    """Rows that one call takes."""
    last_resort: bool = field(default=False, init=False)
    """Nothing stands in for this version: an endpoint that returns takes all that nobody else can."""

    def __post_init__(self, version: str, good_rows: dict[str, bytes] | None) -> None:
        self.known = Known(self.clock, version, {} if good_rows is None else good_rows)

    @property
    def capacity(self) -> int:
        """How many calls can be worked on at once: one for each BentoML worker that may be called."""
        now = self.clock()
        usable = sum(not endpoint.breaker.is_open(now) for endpoint in self.all)
        # With none usable a call still has to fail, for its waiters' sake.
        calls = max(usable, 1) * self.workers
        # A search for guilty rows takes many calls, one after the other. Others go on beside it: if they
        # waited, the next batch would be larger, with more guilty rows in it, and at last all would be late.
        return calls + min(self.known.searches, _SEARCHES * calls)

    async def call(self, batch: Batch) -> list[Row]:
        """What became of each row of `batch`, in order. Raises `VersionFailed` when no endpoint worked."""
        self.known.is_alone = len(self.all) < 2  # as names are resolved now
        self.known.retries.earn()
        first = self._choose(None)
        if first is None:
            raise VersionUnavailable("every endpoint's breaker is open")
        # A first attempt that hangs must leave time for the second.
        left = batch.deadline - self.clock()
        until = batch.deadline if self.known.is_alone else batch.deadline - left / 2
        try:
            return await Attempt(self.known, first, batch, until).ask()
        except VersionFailed:
            second = self._choose_second(first, batch.deadline)
            if second is None:
                raise
            return await Attempt(self.known, second, batch, batch.deadline).ask()

    def _choose_second(self, first: Endpoint, deadline: float) -> Endpoint | None:
        """Where to try once more, if there is another endpoint, time, and room in the budget: it is spent."""
        late = deadline - self.clock() < LEAST_TIME_S
        if len(self.all) < 2 or late or self.known.retries.is_spent:
            return None
        second = self._choose(first)
        if second is not None:
            self.known.retries.spend()
        return second

    def _choose(self, tried: Endpoint | None) -> Endpoint | None:
        now = self.clock()
        candidates = [e for e in self.all if e is not tried and not e.breaker.is_open(now)]
        returning: Endpoint | None = None
        while candidates:
            # Least loaded of two drawn at random: nearly as even as least of all, without the herd.
            drawn = candidates if len(candidates) < 3 else random.sample(candidates, 2)
            chosen = min(drawn, key=lambda endpoint: (endpoint.in_flight, self.draw()))
            if chosen.breaker.admits(now, self.draw()):
                return chosen
            returning = returning or chosen  # turned away by chance
            candidates.remove(chosen)
        return returning if self.last_resort else None

    def health(self) -> list[dict[str, object]]:
        """Each endpoint's state, for people. A failed one is healthy again once its breaker admits calls."""
        now = self.clock()
        return [
            {
                "url": endpoint.url,
                "healthy": endpoint.reached and not endpoint.breaker.is_open(now),
                "breaker": endpoint.breaker.state.name.lower(),
                "calls_in_flight": endpoint.in_flight,
                "last_error": endpoint.last_error,
            }
            for endpoint in self.all
        ]
