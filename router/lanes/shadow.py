"""Shadow copies: the same row to a version that serves nobody, its answer compared and never given out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.errors import Overloaded
from router.lanes.answer import Served
from router.lanes.comparison import Comparison, Original
from router.lanes.lane import Lane
from router.records.events import Events
from router.records.metrics import Metrics

SHADOW_TIMEOUT_S: Final = 5.0
MAX_SHADOW_QUEUE: Final = 1024


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
        self._comparison = Comparison(self.model, self.version, self.metrics, self.events)

    def copy(self, row: bytes, digest: str, original: Original) -> None:
        """Send a copy, by chance, unless the shadow itself has answered. Never waits."""
        if original.version == self.version or self.draw() >= self.share:
            return
        started = self.clock()
        recalled = self.lane.recall(digest)
        if recalled is not None:
            self._comparison.record(original, recalled, True, 0.0)
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
        self._comparison.record(
            original, served.answer, served.tier is not None, (self.clock() - started) * 1000
        )
