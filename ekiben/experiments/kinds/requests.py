"""How requests went: the guardrails that every experiment has and no document declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ekiben.experiments.kinds.of_users import Ratio
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments

REQUESTS_OF_A_USER: Final = 20
"""A user with more requests counts as one with so many, and the same share of them went so."""


class RequestMetric(NamedTuple):
    """A share of requests: what is counted of each user's, what pages call it, and the result that counts."""

    counted: str
    heading: str
    result: str | None = None


REQUEST_METRICS: Final[Mapping[str, RequestMetric]] = {
    "error_rate": RequestMetric("errors", "Requests that failed", "error"),
    "fallback_rate": RequestMetric("fallbacks", "Requests that live answered instead", "fallback"),
    "slow_rate": RequestMetric("slow", "Slow requests"),
}
"""The guardrails that every experiment has, by their names: metrics of requests, not of outcomes."""


class Requests(Ratio):
    """The requests of all users that went so, by all their requests, at most REQUESTS_OF_A_USER of each."""

    name = "requests"
    words = f"share of requests, at most {REQUESTS_OF_A_USER} of a user"
    is_share = True

    def title(self, metric: str) -> str:
        """ "the error rate"."""
        return f"the {metric.replace('_', ' ')}"

    def heading(self, metric: str) -> str:
        """ "Requests that failed"."""
        return REQUEST_METRICS[metric].heading if metric in REQUEST_METRICS else metric

    def is_dominated(self, moments: Moments) -> bool:
        """No user counts for more than REQUESTS_OF_A_USER."""
        return False

    def estimate(self, moments: Moments) -> Estimate | None:
        """A share, whose interval is known even where none has failed so far."""
        return effects.rate(moments)
