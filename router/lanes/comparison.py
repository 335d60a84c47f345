"""A second answer beside the one that was served: compared, counted and recorded, and never given out."""

from __future__ import annotations

import msgspec

from ekiben.state.streams.events import ShadowAnswer
from router.lanes.answer import Answer
from router.records.events import Events
from router.records.metrics import Metrics


class Original(msgspec.Struct, frozen=True, gc=False):
    """The served answer that a second one is compared with, and the request it belongs to."""

    user_hash: str | None
    prediction_id: str
    at: float
    version: str
    answer: Answer
    revision: int
    latency_ms: float
    experiment: str | None = None
    """The experiment whose metrics compare the two answers, with its phase."""
    phase: int | None = None


class Comparison:
    """Compares the answers of one version with those that were served."""

    def __init__(self, model: str, version: str, metrics: Metrics, events: Events) -> None:
        self._model = model
        self._version = version
        self._metrics = metrics
        self._events = events
        self._tally = metrics.version(model, version).tally

    def record(self, original: Original, answer: Answer, cached: bool, latency_ms: float) -> None:
        """Compare, count and record an answer that came `latency_ms` after it was asked for."""
        served = original.answer
        if served.decision is not None and answer.decision is not None:
            agree = served.decision == answer.decision
        else:
            agree = served.body == answer.body
        self._tally.shadow_compared += 1
        self._tally.shadow_disagreed += not agree
        labels = (self._model, self._version, original.version)
        self._metrics.shadow_comparisons.labels(*labels, "true" if agree else "false").inc()
        if (difference := _difference(served, answer)) is not None:
            self._metrics.shadow_difference.labels(*labels).observe(difference)
        self._events.add(
            ShadowAnswer(
                f"{original.prediction_id}.{self._version}",
                original.at,
                original.prediction_id,
                original.user_hash,
                self._model,
                self._version,
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
                original.experiment,
                original.phase,
                served.decision,
            )
        )


def _difference(one: Answer, other: Answer) -> float | None:
    """How far the scores of two answers are apart: of several, those that are farthest. None without both."""
    if one.score is not None and other.score is not None:
        return abs(one.score - other.score)
    if one.scores and other.scores and len(one.scores) == len(other.scores):
        return max(abs(a - b) for a, b in zip(one.scores, other.scores, strict=True))
    return None
