"""The kinds whose values are sums of each user's outcomes: a mean, a share, a ratio."""

from __future__ import annotations

from typing import Any

from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments


class Mean(Kind):
    """The sum of the user's outcomes, 0 without one."""

    name = "mean"
    words = "mean of each user"
    adds_up = True
    fixed_test = "mean"

    def title(self, metric: str) -> str:
        """ "profit per user"."""
        return f"{metric} per user"


class Proportion(Kind):
    """Whether the user has an outcome with a value other than 0."""

    name = "proportion"
    words = "share of users"
    is_share = True
    fixed_test = "proportion"

    def of_user(self, outcomes: Any, own: Any) -> Any:
        """1 or 0."""
        return (outcomes.count(where=own & (outcomes.value != 0)) > 0).cast("float64")

    def estimate(self, moments: Moments) -> Estimate | None:
        """A share, whose interval is known even where none or all have been counted so far."""
        return effects.proportion(moments)


class Ratio(Kind):
    """The sum of the outcomes x over all users, by the sum of the outcomes y."""

    name = "ratio"
    words = "ratio of sums"
    is_ratio = True
    of_some_users = True
    takes_covariate = False
    fixed_test = "ratio"
