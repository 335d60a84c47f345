"""How many users and days an experiment needs: from the sequential boundary, not the fixed-sample formula.

Power is the probability that the interval has left 0 out at one of the looks until the planned number of
users is reached. Guardrails are planned the same way: with the margin as the effect, `sample_size` gives the
users with which a guardrail holds that is in truth unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, hypot, sqrt

import msgspec

from ekiben.experiments.statistics.boundary_crossing import crossing_probability
from ekiben.experiments.statistics.effects import Estimate, steadied
from ekiben.experiments.statistics.normal import quantile
from ekiben.experiments.verdict import JUDGED_FROM

LOOKS = 100
MOST_POWER = 0.999
"""Nearer to 1 the boundary's approximation no longer holds."""
_LARGEST_DRIFT = 3.0  # standard deviations a user: seen at the first look, whatever the rest


class SampleSize(msgspec.Struct, frozen=True):
    """What a plan asks for. Users are matured ones: those whose window has closed."""

    effect: float  # absolute, in the metric's unit
    power: float
    users: int  # of all variants together
    users_by_variant: tuple[int, ...]  # control first
    fixed_users: int  # what an experiment with one single look would need
    price: float  # users by fixed_users: what looking at any time costs


class Duration(msgspec.Struct, frozen=True):
    """How long a plan takes."""

    days: float
    joining_days: float  # until the last user that is needed has joined
    window_days: float  # until that user's window has closed
    held_up_by_min_days: bool


class Spread(msgspec.Struct, frozen=True):
    """How much a metric differs between users."""

    std: float  # of the control
    std_treatment: float | None = None  # the control's unless given
    share: bool = False  # a proportion or a rate: see `ekiben.experiments.statistics.effects.steadied`


def proportion(share: float, effect: float = 0.0) -> Spread:
    """The spread of a proportion of `share` in the control and share + effect in the treatment."""
    other = min(max(share + effect, 0.0), 1.0)
    return Spread(sqrt(share * (1 - share)), sqrt(other * (1 - other)), share=True)


def sample_size(
    effect: float,
    spread: Spread,
    weights: Sequence[float],
    *,
    alpha: float,
    power: float = 0.8,
    comparisons: int | None = None,
    min_users: int = JUDGED_FROM,
    looks: int = LOOKS,
) -> SampleSize:
    """The users with which `effect` (treatment minus control, absolute, not 0) is found with `power`.

    `weights` are the variants', control first, in any unit. `alpha` is the experiment's; it is divided by
    `comparisons`, the number of treatments unless said (for guardrails: times the number of guardrails). Each
    variant gets at least `min_users`. The treatment with the least weight decides. Raises ValueError for what
    is no plan.
    """
    if not effect:
        raise ValueError("a plan needs an effect: the smallest that would matter, not 0")
    pair = _Pair(spread, weights, alpha, power, comparisons, looks)
    ordinary = hypot(pair.std / sqrt(pair.shares[0]), pair.std_treatment / sqrt(pair.shares[1]))
    fixed = ((quantile(1 - pair.alpha / 2) + quantile(power)) * ordinary / effect) ** 2
    low, high = 0.0, max(fixed, 4.0)
    while not pair.finds(effect, high):
        low, high = high, 2 * high
    needed = _bisect(low, high, lambda users: pair.finds(effect, users))
    total = sum(weights)
    users = max(needed / pair.part, min_users * total / min(weights))
    by_variant = tuple(ceil(users * weight / total) for weight in weights)
    fixed_users = max(ceil(fixed / pair.part), 2)
    return SampleSize(
        effect=effect,
        power=power,
        users=sum(by_variant),
        users_by_variant=by_variant,
        fixed_users=fixed_users,
        price=sum(by_variant) / fixed_users,
    )


def detectable_effect(
    users: int,
    spread: Spread,
    weights: Sequence[float],
    *,
    alpha: float,
    power: float = 0.8,
    comparisons: int | None = None,
    looks: int = LOOKS,
) -> float:
    """The smallest absolute effect that `users` of all variants together find with `power`.

    The arguments are `sample_size`'s.
    """
    pair = _Pair(spread, weights, alpha, power, comparisons, looks)
    pair_users = users * pair.part
    low, high = 0.0, spread.std / sqrt(pair_users)
    while not pair.finds(high, pair_users):
        low, high = high, 2 * high
    return _bisect(low, high, lambda effect: pair.finds(effect, pair_users))


def duration(
    users: int, users_per_day: float, coverage: float, window_hours: float, min_days: float
) -> Duration:
    """How long `users` take to mature when `users_per_day` new ones come, of whom `coverage` (0 to 1) take
    part. New ones: who comes back is counted once. Raises ValueError when nobody comes.
    """
    if not users_per_day * coverage > 0:
        raise ValueError("without users nothing is ever found: users per day and coverage must be above 0")
    joining, window = users / (users_per_day * coverage), window_hours / 24
    return Duration(
        days=max(joining + window, min_days),
        joining_days=joining,
        window_days=window,
        held_up_by_min_days=joining + window < min_days,
    )


class _Pair:
    """The control and the treatment with the least weight."""

    def __init__(
        self,
        spread: Spread,
        weights: Sequence[float],
        alpha: float,
        power: float,
        comparisons: int | None,
        looks: int,
    ) -> None:
        if len(weights) < 2 or not min(weights) > 0:
            raise ValueError("a plan needs a control and a treatment, each with a weight above 0")
        if not spread.std > 0 or not 0 < power <= MOST_POWER or not 0 < alpha < 1:
            raise ValueError(
                "a plan needs a standard deviation above 0, an alpha between 0 and 1, and a power of at most "
                f"{MOST_POWER:.1%}"
            )
        weight = weights[0] + min(weights[1:])
        self.part = weight / sum(weights)
        self.shares = weights[0] / weight, min(weights[1:]) / weight
        self.alpha = alpha / (comparisons or len(weights) - 1)
        self.std, self.share = spread.std, spread.share
        self.std_treatment = spread.std if spread.std_treatment is None else spread.std_treatment
        self._power, self._looks = power, looks

    def finds(self, effect: float, users: float) -> bool:
        """Whether `users` of both variants find `effect` with the power asked for."""
        control, treatment = (
            Estimate(0.0, std / sqrt(share * users), max(round(share * users), 1), self.share)
            for std, share in zip((self.std, self.std_treatment), self.shares, strict=True)
        )
        drift = min(abs(effect) / (hypot(*steadied(control, treatment)) * sqrt(users)), _LARGEST_DRIFT)
        return crossing_probability(drift, users, self.alpha, self._looks) >= self._power


def _bisect(low: float, high: float, enough: Callable[[float], bool]) -> float:
    """The least value that is enough, to one part in 2²⁴ of high - low."""
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
