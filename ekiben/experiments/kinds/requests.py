"""How requests went: the guardrails that every experiment has and no document declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ekiben.experiments.kinds.of_users import Ratio
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments


class RequestMetric(NamedTuple):
    """A share of requests: what is counted of each user's, and what pages call it."""

    counted: str
    heading: str


REQUEST_METRICS: Final[Mapping[str, RequestMetric]] = {
    "error_rate": RequestMetric("errors", "Requests that failed"),
    "fallback_rate": RequestMetric("fallbacks", "Requests that live answered instead"),
    "slow_rate": RequestMetric("slow", "Slow requests"),
}
"""The guardrails that every experiment has, by their names: metrics of requests, not of outcomes."""


class Requests(Ratio):
    """The requests of all users that went so, by all their requests."""

    name = "requests"
    words = "share of requests"
    is_share = True

    def title(self, metric: str) -> str:
        """ "the error rate"."""
        return f"the {metric.replace('_', ' ')}"

    def heading(self, metric: str) -> str:
        """ "Requests that failed"."""
        return REQUEST_METRICS[metric].heading if metric in REQUEST_METRICS else metric

    def estimate(self, moments: Moments) -> Estimate | None:
        """A share, whose interval is known even where none has failed so far."""
        return effects.rate(moments)
