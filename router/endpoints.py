"""The endpoints of one version: which of them takes the next call, and what becomes of a failed one."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from router.breaker import Breaker
from router.errors import BulkRefused, VersionFailed, VersionUnavailable
from router.service import BulkAnswer, ModelService, ServiceInfo

# A retry may cost at most this share of all calls, beyond a reserve for the first ones.
_RETRY_SHARE: Final = 0.1
_RETRY_RESERVE: Final = 10.0
_LEAST_TIME_S: Final = 0.001


class Endpoint:
    """One replica of a version's model service; `given` is the URL in the experiments that led to it."""

    def __init__(self, url: str, service: ModelService, given: str | None = None) -> None:
        self.url = url
        self.given = given or url
        self.service = service
        self.breaker = Breaker(threshold=3, cool_down_s=0.5, max_cool_down_s=5.0, return_s=2.0)
        self.in_flight = 0
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
    ) -> None:
        self.all: tuple[Endpoint, ...] = tuple(endpoints)
        self._workers = workers
        self._clock = clock
        self._draw = draw
        self._retries = _RETRY_RESERVE
        self.last_resort = False
        """Nothing stands in for this version: an endpoint that returns takes all that nobody else can."""

    @property
    def capacity(self) -> int:
        """How many calls can be worked on at once: one for each BentoML worker that may be called."""
        now = self._clock()
        usable = sum(not endpoint.breaker.is_open(now) for endpoint in self.all)
        return (
            max(usable, 1) * self._workers
        )  # with none usable a call still has to fail, for its waiters' sake

    async def call(
        self,
        rows: Sequence[bytes],
        deadline: float,
        usable: Callable[[BulkAnswer], bool] = lambda _answer: True,
        parents: Sequence[bytes] = (),
    ) -> BulkAnswer:
        """Answer `rows` before `deadline` (of the clock). Raises `VersionFailed`.

        `usable` reads each answer. One that is not usable is asked for once more, elsewhere; what was read
        last is returned, usable or not. `parents` are the `traceparent`s of the requests it is made for.
        """
        self._retries = min(_RETRY_RESERVE, self._retries + _RETRY_SHARE)
        first = self._choose(None)
        if first is None:
            raise VersionUnavailable("every endpoint's breaker is open")
        others = len(self.all) > 1
        try:
            # A first attempt that hangs must leave time for the second.
            answer = await self._attempt(first, rows, deadline, 0.5 if others else 1.0, parents)
        except BulkRefused:
            raise
        except VersionFailed:
            second = self._choose_second(first, deadline)
            if second is None:
                raise
            answer = await self._attempt(second, rows, deadline, 1.0, parents)
            usable(answer)
            second.breaker.succeeded(self._clock())
            return answer
        if not usable(answer):
            # The rows may be to blame, or the endpoint: it is, if somebody else can answer them.
            another = await self._attempt_elsewhere(first, rows, deadline, parents)
            if another is not None:
                if usable(another):
                    first.last_error = "an answer that nobody can use"
                    first.breaker.failed(self._clock())
                else:
                    first.breaker.succeeded(self._clock())
                return another
        first.breaker.succeeded(self._clock())
        return answer

    async def _attempt_elsewhere(
        self, first: Endpoint, rows: Sequence[bytes], deadline: float, parents: Sequence[bytes]
    ) -> BulkAnswer | None:
        second = self._choose_second(first, deadline)
        if second is None:
            return None
        try:
            answer = await self._attempt(second, rows, deadline, 1.0, parents)
        except VersionFailed:
            return None
        second.breaker.succeeded(self._clock())
        return answer

    def _choose_second(self, first: Endpoint, deadline: float) -> Endpoint | None:
        """Where to try once more, if there is another endpoint, time, and room in the budget: it is spent."""
        if len(self.all) < 2 or self._retries < 1.0 or deadline - self._clock() < _LEAST_TIME_S:
            return None
        second = self._choose(first)
        if second is not None:
            self._retries -= 1.0
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

    async def _attempt(
        self,
        endpoint: Endpoint,
        rows: Sequence[bytes],
        deadline: float,
        share: float,
        parents: Sequence[bytes],
    ) -> BulkAnswer:
        """One call. The breaker hears of a failure here; whether an answer is a success, the caller knows."""
        left = deadline - self._clock()
        endpoint.in_flight += 1
        try:
            answer = await endpoint.service.bulk(rows, max(left * share, _LEAST_TIME_S), parents)
        except BulkRefused:
            endpoint.breaker.succeeded(self._clock())
            raise
        except VersionFailed as error:
            endpoint.last_error = str(error)
            endpoint.breaker.failed(self._clock())
            raise
        finally:
            endpoint.in_flight -= 1
        endpoint.reached = True
        return answer

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
