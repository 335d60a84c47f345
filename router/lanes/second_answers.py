"""The other answer that an experiment compares (`only_where`): it is waited for, where a shadow's is dropped.

An answer that is missing more often in one variant than in the other would bias the comparison, and those of
a slow version would be. So a request waits for room in the lane, and is asked again after a failure, for
`WAIT_S` together. What has no answer by then is lost to the comparison and counted, and its features are
recorded where the model's `capture` keeps whole rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import msgspec

from ekiben.process.budget import ByteBudget
from ekiben.state.streams.events import Prediction
from router.errors import Overloaded, RowRefused
from router.lanes.answer import Served
from router.lanes.comparison import Comparison, Original
from router.lanes.lane import Lane
from router.records.events import Events
from router.records.metrics import Metrics

WAIT_S: Final = 5.0
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
# How soon the lane is looked at again that had no room, or that failed.
_FULL_S: Final = 0.05
_FAILED_S: Final = 0.5
# What a request that waits takes besides its row.
_OVERHEAD_BYTES: Final = 1024

Why = Literal["refused", "failed", "late", "full"]


class _Asked(msgspec.Struct, frozen=True, gc=False):
    row: bytes
    digest: str
    original: Original
    began: float
    until: float


@dataclass(eq=False)
class SecondAnswers:
    """Asks one version for its answers to requests that another has answered, through a lane of its own."""

    model: str
    version: str
    lane: Lane
    metrics: Metrics
    events: Events
    clock: Callable[[], float]
    keeps_features: bool = False
    """Whether the features of a request without an answer may be recorded."""

    def __post_init__(self) -> None:
        self._comparison = Comparison(self.model, self.version, self.metrics, self.events)
        self._budget = ByteBudget(MAX_WAITING_BYTES)
        self._waiting: deque[_Asked] = deque()  # for room
        self._failed: list[_Asked] = []  # asked again together
        self._feeds = self._retries = False

    def ask(self, row: bytes, digest: str, original: Original) -> None:
        """Ask for the answer to a row, unless this version gave the one that was served. Never waits."""
        if original.version == self.version:
            return
        now = self.clock()
        recalled = self.lane.recall(digest)
        if recalled is not None:
            self._comparison.record(original, recalled, True, 0.0)
            return
        asked = _Asked(row, digest, original, now, now + WAIT_S)
        if not self._budget.take(len(row) + _OVERHEAD_BYTES):
            self._lose(asked, "full")
            return
        self._waiting.append(asked)
        if not self._feeds:
            self._feed()

    def close(self) -> None:
        """Lose what waits: the worker stops."""
        for asked in (*self._waiting, *self._failed):
            self._end(asked, "late")
        self._waiting.clear()
        self._failed.clear()

    def _feed(self) -> None:
        """Hand over to the lane what it has room for, the oldest first."""
        self._feeds = False
        while self._waiting:
            asked = self._waiting[0]
            if asked.until <= self.clock():
                self._end(self._waiting.popleft(), "late")
                continue
            try:
                future = self.lane.submit(asked.row, asked.digest, asked.until)
            except Overloaded:
                self._feeds = True
                asyncio.get_running_loop().call_later(_FULL_S, self._feed)
                return
            self._waiting.popleft()
            future.add_done_callback(partial(self._answered, asked))

    def _answered(self, asked: _Asked, done: asyncio.Future[Served]) -> None:
        if done.cancelled():
            self._end(asked, "failed")
        elif (error := done.exception()) is None:
            self._budget.give(len(asked.row) + _OVERHEAD_BYTES)
            served, took_ms = done.result(), (self.clock() - asked.began) * 1000
            self._comparison.record(asked.original, served.answer, served.tier is not None, took_ms)
        elif isinstance(error, RowRefused):
            self._end(asked, "refused")
        elif asked.until <= self.clock() + _FAILED_S:
            self._end(asked, "failed")
        else:
            self._failed.append(asked)
            if not self._retries:
                self._retries = True
                asyncio.get_running_loop().call_later(_FAILED_S, self._retry)

    def _retry(self) -> None:
        self._retries = False
        self._waiting.extend(self._failed)
        self._failed.clear()
        if not self._feeds:
            self._feed()

    def _end(self, asked: _Asked, why: Why) -> None:
        self._budget.give(len(asked.row) + _OVERHEAD_BYTES)
        self._lose(asked, why)

    def _lose(self, asked: _Asked, why: Why) -> None:
        """Count a request without an answer, and record what it would take to answer it later."""
        self.metrics.second_answers_lost.labels(self.model, self.version, why).inc()
        if not self.keeps_features or why == "refused":
            return
        original, served = asked.original, asked.original.answer
        self.events.add(
            Prediction(
                event_id=f"{original.prediction_id}.{self.version}",
                at=original.at,
                prediction_id=original.prediction_id,
                user_hash=original.user_hash,
                model=self.model,
                version=original.version,
                model_version=served.model_version,
                experiment=original.experiment,
                phase=original.phase,
                revision=original.revision,
                score=served.score,
                scores=served.scores,
                decision=served.decision,
                latency_ms=original.latency_ms,
                depth="unanswered",
                features=asked.row.decode(),
                unanswered_by=self.version,
            )
        )
