"""All users' sums of one outcome over their sums of another."""

from __future__ import annotations

from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments


class Ratio(Kind):
    """The sum of the outcomes x over all users, by the sum of the outcomes y."""

    name = "ratio"
    words = "ratio of sums"
    takes_covariate = False
    takes_denominator = True
    fixed_test = "ratio"

    def value(self, moments: Moments) -> float | None:
        """x by y; None where y adds up to 0."""
        return moments.x / moments.y if moments.y else None

    def plain(self, moments: Moments) -> Estimate | None:
        """By the delta method."""
        return effects.ratio(moments)
