"""The kinds whose values are sums of each user's outcomes: a mean, a share, a ratio."""

from __future__ import annotations

from typing import Any

from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM


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
    takes_cap = False
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

    def capped(self, x: Any, y: Any, cap: float) -> tuple[Any, Any]:
        """Both scaled, so that the user's own ratio stays as it is."""
        part = (cap / y.abs().nullif(0)).clip(upper=1.0).fill_null(1.0)
        return x * part, y * part

    def size(self, x: Any, y: Any) -> Any:
        """The denominator's."""
        return y.abs()

    def is_dominated(self, moments: Moments) -> bool:
        """A user with most of y *is* the ratio, and its residual is 0: the variance vanishes."""
        return moments.effective < JUDGED_FROM
