"""The share of users with an outcome."""

from __future__ import annotations

from typing import Any

from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments


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
