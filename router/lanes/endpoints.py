"""The endpoints of one version: which of them takes the next call, and what becomes of a failed one."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from router.errors import VersionFailed, VersionUnavailable
from router.lanes.answer import UNKNOWN_OUTPUT, OutputFields, Row
from router.lanes.attempt import LEAST_TIME_S, Attempt, Common
from router.lanes.breaker import Breaker
from router.lanes.service import ModelService, ServiceInfo

_SEARCHES: Final = 8
"""So many searches for guilty rows go on beside each ordinary call."""


class Endpoint:
    """One replica of a version's model service; `given` is the URL in the experiments that led to it."""

    def __init__(self, url: str, service: ModelService, given: str | None = None) -> None:
        self.url = url
        self.given = given or url
        self.service = service
        self.breaker = Breaker(threshold=3, cool_down_s=0.5, max_cool_down_s=5.0, return_s=2.0)
        self.in_flight = 0
        self.worked_at = -math.inf
        """When it last answered or refused a row."""
        self.info: ServiceInfo | None = None
        self.last_error: str | None = None
        self.reached = False


class Endpoints:
    """The endpoints of a version: least loaded of two, with one retry on another within a budget."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        version: str = "",
        good_rows: dict[str, bytes] | None = None,
    ) -> None:
        self.all: tuple[Endpoint, ...] = tuple(endpoints)
        self._workers = workers
        self._clock = clock
        self._draw = draw
        self._common = Common(clock, version, {} if good_rows is None else good_rows)
        self.last_resort = False
        """Nothing stands in for this version: an endpoint that returns takes all that nobody else can."""

    @property
    def capacity(self) -> int:
        """How many calls can be worked on at once: one for each BentoML worker that may be called."""
        now = self._clock()
        usable = sum(not endpoint.breaker.is_open(now) for endpoint in self.all)
        # With none usable a call still has to fail, for its waiters' sake.
        calls = max(usable, 1) * self._workers
        # A search for guilty rows takes many calls, one after the other. Others go on beside it: if they
        # waited, the next batch would be larger, with more guilty rows in it, and at last all would be late.
        return calls + min(self._common.searches, _SEARCHES * calls)

    async def call(
        self,
        rows: Sequence[bytes],
        deadline: float,
        output: OutputFields = UNKNOWN_OUTPUT,
        parents: Sequence[bytes] = (),
        searching: Callable[[], None] = lambda: None,
    ) -> list[Row]:
        """What became of each of `rows`, in order, before `deadline` (of the clock).

        Raises `VersionFailed` when no endpoint worked. `parents` are the `traceparent`s of the requests that
        the call is made for. `searching` is called when guilty rows are looked for: `capacity` has grown.
        """
        attempt = partial(
            Attempt, self._common, deadline=deadline, output=output, parents=parents, searching=searching
        )
        self._common.is_alone = len(self.all) < 2  # as names are resolved now
        self._common.retries.earn()
        first = self._choose(None)
        if first is None:
            raise VersionUnavailable("every endpoint's breaker is open")
        # A first attempt that hangs must leave time for the second.
        left = deadline - self._clock()
        until = deadline - left / 2 if len(self.all) > 1 else deadline
        try:
            return await attempt(first, until).ask(rows)
        except VersionFailed:
            second = self._choose_second(first, deadline)
            if second is None:
                raise
            return await attempt(second, deadline).ask(rows)

    def _choose_second(self, first: Endpoint, deadline: float) -> Endpoint | None:
        """Where to try once more, if there is another endpoint, time, and room in the budget: it is spent."""
        late = deadline - self._clock() < LEAST_TIME_S
        if len(self.all) < 2 or late or self._common.retries.is_spent:
            return None
        second = self._choose(first)
        if second is not None:
            self._common.retries.spend()
        return second

    def _choose(self, tried: Endpoint | None) -> Endpoint | None:
        now = self._clock()
        candidates = [e for e in self.all if e is not tried and not e.breaker.is_open(now)]
        returning: Endpoint | None = None
        while candidates:
            # Least loaded of two drawn at random: nearly as even as least of all, without the herd.
            drawn = candidates if len(candidates) < 3 else random.sample(candidates, 2)
            chosen = min(drawn, key=lambda endpoint: (endpoint.in_flight, self._draw()))
            if chosen.breaker.admits(now, self._draw()):
                return chosen
            returning = returning or chosen  # turned away by chance
            candidates.remove(chosen)
        return returning if self.last_resort else None

    def health(self) -> list[dict[str, object]]:
        """Each endpoint's state, for people. One that failed is well again once it may be called."""
        now = self._clock()
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
