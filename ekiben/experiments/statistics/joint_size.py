"""How many users a promotion needs: the deciding metric and every guardrail have to pass at the same look.

Each condition passes when the near end of its interval has passed its boundary. That is 0 for the deciding
metric and the margin for a guardrail. Guardrails are an intersection-union test (R. L. Berger,
"Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982)), so that alpha is not
divided among them, and all of them are needed together.

n_i users are those with which condition i alone passes with the wanted power at one of the looks
(`sample_size`). The bottleneck b is the condition with the largest. T_i(n) is the probability that i passes
at the last look of n users. The plan is the least n >= n_b with

    sum over i of (1 - T_i(n)) <= 1 - T_b(n_b)

1. At the last look all pass together with at least 1 - sum (1 - T_i(n)), however the metrics are correlated
   (Bonferroni's inequality).
2. Earlier looks add to that. With the bottleneck alone they lift T_b(n_b) to the wanted power. The plan takes
   it that they lift as much with several conditions. `make stats-proof` shows that they do.

Where the bottleneck needs far more than the others, n is n_b. Six equal conditions need 1.7 times n_b.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from statistics import NormalDist

import msgspec

from ekiben.experiments.statistics.effects import boundary_users
from ekiben.experiments.statistics.sample_size import (
    SampleSize,
    Spread,
    drift_of,
    fewest,
    of_all_variants,
    pair_shares,
    sample_size,
)
from ekiben.experiments.statistics.sequential import JUDGED_FROM, half_width


class Condition(msgspec.Struct, frozen=True):
    """What has to pass: an effect that is there, or a guardrail's margin where there is no effect. `alpha` is
    the two-sided level of the interval of one treatment.
    """

    name: str
    effect: float  # in the metric's unit: how far the truth is from what has to be left out
    spread: Spread
    alpha: float


class JointSize(msgspec.Struct, frozen=True):
    """The users for all conditions together, those for each alone, and the condition that needs most."""

    size: SampleSize
    alone: dict[str, SampleSize]
    bottleneck: str


def joint_size(
    conditions: Sequence[Condition],
    weights: Sequence[float],
    *,
    power: float = 0.8,
    min_users: int = JUDGED_FROM,
    planned_users: float | None = None,
) -> JointSize:
    """The users with which all conditions pass at one look with `power`.

    `weights` and `planned_users` are those of `sample_size`; so are the errors. There is at least one
    condition, and their names differ.
    """
    shares = pair_shares(weights)
    alone = {each.name: _alone(each, tuple(weights), power, planned_users) for each in conditions}
    worst = max(conditions, key=lambda each: alone[each.name].users)
    bottleneck = alone[worst.name]
    part = (weights[0] + min(weights[1:])) / sum(weights)
    least = bottleneck.users * part
    most_failing = _fails(worst, shares, least, planned_users)

    def enough(users: float) -> bool:
        failing = sum(_fails(each, shares, users, planned_users) for each in conditions)
        return users >= least and failing <= most_failing

    size = of_all_variants(
        fewest(enough, least),
        bottleneck.fixed_users * part,
        weights,
        effect=conditions[0].effect,
        power=power,
        min_users=min_users,
    )
    return JointSize(size, alone, worst.name)


@lru_cache(maxsize=256)  # who tries several effects tries them beside the same guardrails
def _alone(
    condition: Condition, weights: tuple[float, ...], power: float, planned_users: float | None
) -> SampleSize:
    return sample_size(
        condition.effect,
        condition.spread,
        weights,
        alpha=condition.alpha * (len(weights) - 1),
        power=power,
        min_users=1,
        planned_users=planned_users,
    )


def _fails(
    condition: Condition, shares: tuple[float, float], users: float, planned_users: float | None
) -> float:
    """The probability that a condition does not pass at the last look of so many users of the pair."""
    score = drift_of(condition.effect, condition.spread, shares, users) * sqrt(users)
    counted = boundary_users(*(share * users for share in shares))
    return NormalDist().cdf(half_width(1.0, counted, condition.alpha, planned_users or counted) - score)
