"""Shadow copies: the same row to a version that serves nobody, its answer compared and never given out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ekiben.state.streams.events import ShadowAnswer
from router.errors import Overloaded
from router.lanes.answer import Answer, Served
from router.lanes.lane import Lane
from router.records.events import Events
from router.records.metrics import Metrics

SHADOW_TIMEOUT_S: Final = 5.0
MAX_SHADOW_QUEUE: Final = 1024


class Original(msgspec.Struct, frozen=True, gc=False):
    """The served answer that a shadow's is compared with, and the request it belongs to."""

    user_hash: str | None
    prediction_id: str
    at: float
    version: str
    answer: Answer
    revision: int
    latency_ms: float


@dataclass(eq=False)
class Shadow:
    """Copies a share of a model's requests to one version, through a lane of its own that drops when full.

    Its lane shares the version's endpoints with the lane that serves, and nothing else: neither waits for
    the other.
    """

    model: str
    version: str
    share: float
    lane: Lane
    metrics: Metrics
    events: Events
    clock: Callable[[], float]
    draw: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self._dropped = self.metrics.shadow_dropped.labels(self.model, self.version)
        self._failed = self.metrics.shadow_failed.labels(self.model, self.version)
        self._tally = self.metrics.version(self.model, self.version).tally

    def copy(self, row: bytes, digest: str, original: Original) -> None:
        """Send a copy, by chance, unless the shadow itself has answered. Never waits."""
        if original.version == self.version or self.draw() >= self.share:
            return
        started = self.clock()
        recalled = self.lane.recall(digest)
        if recalled is not None:
            self._compare(original, recalled, True, 0.0)
            return
        try:
            future = self.lane.submit(row, digest, started + SHADOW_TIMEOUT_S)
        except Overloaded:
            self._dropped.inc()
            self._tally.shadow_dropped += 1
            return
        future.add_done_callback(lambda done: self._answered(original, started, done))

    def _answered(self, original: Original, started: float, done: asyncio.Future[Served]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._failed.inc()
            self._tally.shadow_failed += 1
            return
        served = done.result()
        self._compare(original, served.answer, served.tier is not None, (self.clock() - started) * 1000)

    def _compare(self, original: Original, answer: Answer, cached: bool, latency_ms: float) -> None:
        served = original.answer
        if served.decision is not None and answer.decision is not None:
            agree = served.decision == answer.decision
        else:
            agree = served.body == answer.body
        self._tally.shadow_compared += 1
        self._tally.shadow_disagreed += not agree
        labels = (self.model, self.version, original.version)
        self.metrics.shadow_comparisons.labels(*labels, "true" if agree else "false").inc()
        if (difference := _difference(served, answer)) is not None:
            self.metrics.shadow_difference.labels(*labels).observe(difference)
        self.events.add(
            ShadowAnswer(
                f"{original.prediction_id}.{self.version}",
                original.at,
                original.prediction_id,
                original.user_hash,
                self.model,
                self.version,
                answer.model_version,
                original.revision,
                cached,
                answer.score,
                answer.decision,
                latency_ms,
                agree,
                original.version,
                served.model_version,
                served.score,
                original.latency_ms,
                answer.scores,
                served.scores,
            )
        )


def _difference(one: Answer, other: Answer) -> float | None:
    """How far the scores of two answers are apart: of several, those that are farthest. None without both."""
    if one.score is not None and other.score is not None:
        return abs(one.score - other.score)
    if one.scores and other.scores and len(one.scores) == len(other.scores):
        return max(abs(a - b) for a, b in zip(one.scores, other.scores, strict=True))
    return None
