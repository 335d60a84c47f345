"""Outcomes on their way to Redis's disk: one block, and one fsync, for all requests that wait.

Theory of operation:

1. A request's outcomes queue as a whole, and its answer waits.
2. While one block is out, whatever comes queues; the next block takes all of it (at most `_MAX_BLOCK`
   outcomes, and never half a request). The writer never waits to fill one.
3. A block that was not confirmed (by Redis, and by so many replicas as were asked for) is sent again, the
   same one with the same number, for as long as one of its requests still waits: the stream has it once, or
   not at all.
4. A request that has waited for `ANSWER_S` is told 503. Its outcomes may be in the stream all the same: their
   ids make the client's repetition harmless.
5. While Redis is known to lose what it confirms, nothing is taken at all (`ekiben/state/durability.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Final, Protocol

from redis.asyncio import Redis

from ekiben.state.connecting import StateUnavailable
from ekiben.state.outcomes import GivenOutcome
from ekiben.state.streams.blocks import OUTCOMES_STREAM
from ekiben.state.streams.events import Outcome
from ekiben.state.streams.producers import NotStored, Producer
from ekiben.state.user import id_hint, user_hash
from router.errors import NotReady, Overloaded, RouterError, StateAway, StateNotDurable
from router.http.costly import Steps, Turns, at_once
from router.records.metrics import Metrics

log = logging.getLogger(__name__)

ANSWER_S: Final = 2.0
MAX_WAITING: Final = 50_000
_MAX_BLOCK: Final = 5_000
_PAUSE_S: Final = 0.050
# Outcomes that are made into events without a pause, about half a millisecond.
_STEP: Final = 100


class Outcomes(Protocol):
    """Where outcomes are kept."""

    @property
    def waiting(self) -> int:
        """Outcomes that are not on disk yet."""
        ...

    async def write(self, outcomes: Sequence[GivenOutcome]) -> None:
        """Return when all of them are on disk. Raises `Overloaded` or `StateAway`."""
        ...


class InMemoryOutcomes:
    """Outcomes in a list, for tests."""

    def __init__(self) -> None:
        self.held: list[GivenOutcome] = []
        self.failure: RouterError | None = None
        self.waiting = 0

    async def write(self, outcomes: Sequence[GivenOutcome]) -> None:
        """Keep them, or fail as told."""
        if self.failure is not None:
            raise self.failure
        self.held += outcomes


@dataclass(eq=False, slots=True)
class _Waiting:
    """A request's outcomes, and who waits for them."""

    events: list[Outcome]
    done: asyncio.Future[None]
    since: float


@dataclass(eq=False)
class OutcomeWriter:
    """Writes outcomes to the state Redis.

    `refusal` tells why Redis would lose what it confirms, or None. Large requests take `turns`.
    """

    redis: InitVar[Redis]
    salt: bytes
    metrics: Metrics
    new_id: Callable[[], str]
    _: KW_ONLY
    answer_s: float = ANSWER_S
    max_waiting: int = MAX_WAITING
    replicas: InitVar[int] = 0
    refusal: Callable[[], str | None] = lambda: None
    turns: Turns = field(default_factory=Turns)

    def __post_init__(self, redis: Redis, replicas: int) -> None:
        self._why = ""
        self._producer = Producer(redis, OUTCOMES_STREAM, self.new_id, replicas)
        self._queue: deque[_Waiting] = deque()
        self._group: list[_Waiting] = []
        self._woken = asyncio.Event()
        self._failing = False
        self.waiting = 0

    async def write(self, outcomes: Sequence[GivenOutcome]) -> None:
        """Return when all of them are on disk.

        Raises `Overloaded` when too many wait, `StateAway` when Redis has not confirmed them in time, and
        `StateNotDurable` when it would lose them.
        """
        if not outcomes:
            return
        if (refusal := self.refusal()) is not None:
            raise StateNotDurable(refusal)
        if self.waiting + len(outcomes) > self.max_waiting:
            raise Overloaded(f"{self.waiting} outcomes are waiting for Redis")
        self.waiting += len(outcomes)
        try:
            events = await self._events(outcomes)
            loop = asyncio.get_running_loop()
            held = _Waiting(events, loop.create_future(), loop.time())
            self._queue.append(held)
            self._woken.set()
            async with asyncio.timeout(self.answer_s):
                await held.done
        except TimeoutError:
            raise StateAway(
                f"Redis did not confirm the outcomes{self._why}: send them again, with the same ids"
            ) from None
        finally:
            self.waiting -= len(outcomes)

    async def run(self) -> None:
        """Write what comes until cancelled."""
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                while self._take():
                    await self._commit()
        finally:
            for held in (*self._group, *self._queue):
                if not held.done.done():
                    held.done.set_exception(NotReady("the router is stopping"))

    def _take(self) -> bool:
        """Make the next group of what has queued; False when nothing has."""
        self._group = []
        size = 0
        while self._queue and (not self._group or size + len(self._queue[0].events) <= _MAX_BLOCK):
            held = self._queue.popleft()
            if not held.done.done():
                self._group.append(held)
                size += len(held.events)
        return bool(self._group)

    async def _commit(self) -> None:
        group = self._group
        events = [event for held in group for event in held.events]
        if len(events) <= _STEP:
            block = self._producer.block(events)
        else:  # packing and compressing thousands takes milliseconds
            block = await asyncio.to_thread(self._producer.block, events)
        while any(not held.done.done() for held in group):
            try:
                await self._producer.send(block, self.answer_s)
            except StateUnavailable as error:
                if not self._failing:
                    log.warning("outcomes cannot be written, their senders wait: %s", error)
                self._failing = True
                self._why = f" ({error})" if isinstance(error, NotStored) else ""
                await asyncio.sleep(_PAUSE_S)
                continue
            self._failing = False
            self._why = ""
            now = asyncio.get_running_loop().time()
            waited = [held for held in group if not held.done.done()]
            for held in waited:
                held.done.set_result(None)
            self.metrics.outcomes_written(
                sum(len(held.events) for held in waited), [now - held.since for held in waited]
            )
            return

    async def _events(self, outcomes: Sequence[GivenOutcome]) -> list[Outcome]:
        steps = self._in_steps(outcomes)
        return at_once(steps) if len(outcomes) <= _STEP else await self.turns.run(steps, self.answer_s)

    def _in_steps(self, outcomes: Sequence[GivenOutcome]) -> Steps[list[Outcome]]:
        events: list[Outcome] = []
        for start in range(0, len(outcomes), _STEP):
            events += [self._event(outcome) for outcome in outcomes[start : start + _STEP]]
            yield
        return events

    def _event(self, given: GivenOutcome) -> Outcome:
        hashed = hint = None
        if given.user_id is not None:
            hashed, hint = user_hash(self.salt, given.user_id), id_hint(given.user_id)
        event_id = given.id or self.new_id()
        return Outcome(event_id, given.at, given.prediction_id, hashed, given.name, given.value, hint)
