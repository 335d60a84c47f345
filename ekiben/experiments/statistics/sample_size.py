"""How many users and days an experiment needs: from the sequential boundary, not the fixed-sample formula.

Power is the probability that the interval has left 0 out at one of the looks until the planned number of
users is reached. Guardrails are planned the same way: with the margin as the effect, `sample_size` gives the
users with which a guardrail holds that is in truth unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, hypot, inf, sqrt
from statistics import NormalDist

import msgspec

from ekiben.experiments.statistics.boundary_crossing import crossing_probability
from ekiben.experiments.statistics.effects import Estimate, boundary_users, steadied
from ekiben.experiments.statistics.sequential import JUDGED_FROM, PLANNED_USERS, half_width

MOST_POWER = 0.999
"""Nearer to 1 the boundary's approximation no longer holds."""
_MOST_GROWTH = 2.0**20  # beyond that nobody waits
_LARGEST_DRIFT = 3.0  # standard deviations a user: seen at the first look, whatever the rest


class SampleSize(msgspec.Struct, frozen=True):
    """What a plan asks for. Users are matured ones: those whose window has closed."""

    effect: float  # absolute, in the metric's unit
    power: float
    users: int  # of all variants together
    users_by_variant: tuple[int, ...]  # control first
    fixed_users: int  # what an experiment with one single look would need
    price: float  # users by fixed_users: what looking at any time costs
    planned_users: int  # of the treatment and the control, as the boundary counts them


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

    @property
    def stds(self) -> tuple[float, float]:
        """Of the control and of the treatment."""
        return self.std, self.std if self.std_treatment is None else self.std_treatment


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
    min_users: int = JUDGED_FROM,
    planned_users: float | None = PLANNED_USERS,
) -> SampleSize:
    """The users with which `effect` (treatment minus control, absolute, not 0) is found with `power`.

    `weights` are the variants', control first, in any unit. `alpha` is the experiment's; it is divided by the
    number of treatments. Intervals are narrowest at `planned_users` of a treatment and the control together;
    None is at the number that is found, with which fewest are needed. Each variant gets at least `min_users`.
    The treatment with the least weight decides.
    Raises ValueError for what is no plan.
    """
    if not effect:
        raise ValueError("a plan needs an effect: the smallest that would matter, not 0")
    if len(weights) < 2 or not min(weights) > 0:
        raise ValueError("a plan needs a control and a treatment, each with a weight above 0")
    if not (spread.std > 0 or spread.share) or not 0 < power <= MOST_POWER or not 0 < alpha < 1:
        raise ValueError(
            "a plan needs a standard deviation above 0, an alpha between 0 and 1, and a power of at most "
            f"{MOST_POWER:.1%}"
        )
    alpha /= len(weights) - 1
    shares = pair_shares(weights)

    def finds(users: float) -> bool:
        """Whether so many users of the pair find the effect."""
        counted = boundary_users(*(share * users for share in shares))
        drift = drift_of(effect, spread, shares, users) * sqrt(users / counted)
        return crossing_probability(drift, counted, alpha, planned_users or counted) >= power

    ordinary = hypot(*(std / sqrt(share) for std, share in zip(spread.stds, shares, strict=True)))
    quantiles = NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)
    fixed = (quantiles * ordinary / effect) ** 2
    users = fewest(finds, max(fixed, 4.0))
    return of_all_variants(users, fixed, weights, effect=effect, power=power, min_users=min_users)


def pair_shares(weights: Sequence[float]) -> tuple[float, float]:
    """The shares of the control and of the treatment with the least weight among the users of both."""
    pair = weights[0], min(weights[1:])
    return pair[0] / sum(pair), pair[1] / sum(pair)


def drift_of(effect: float, spread: Spread, shares: tuple[float, float], users: float) -> float:
    """The effect by its standard error after one user of both variants, as it is after `users` of them."""
    control, treatment = (
        Estimate(0.0, std / sqrt(share * users), max(round(share * users), 1), spread.share)
        for std, share in zip(spread.stds, shares, strict=True)
    )
    return min(abs(effect) / (hypot(*steadied(control, treatment)) * sqrt(users)), _LARGEST_DRIFT)


def fewest(enough: Callable[[float], bool], high: float) -> float:
    """The least number for which `enough` is true, sought upwards from about `high`."""
    low = 0.0
    while not enough(high):
        low, high = high, 2 * high
    for _ in range(24):  # to one part in 2²⁴ of high - low
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def of_all_variants(
    users: float, fixed: float, weights: Sequence[float], *, effect: float, power: float, min_users: int
) -> SampleSize:
    """The sample of all variants in which the control and the treatment with the least weight have `users`.

    `fixed` is what they would need with one single look.
    """
    total = sum(weights)
    part = (weights[0] + min(weights[1:])) / total
    everybody = max(users / part, min_users * total / min(weights))
    by_variant = tuple(ceil(everybody * weight / total) for weight in weights)
    fixed_users = max(ceil(fixed / part), 2)
    return SampleSize(
        effect=effect,
        power=power,
        users=sum(by_variant),
        users_by_variant=by_variant,
        fixed_users=fixed_users,
        price=sum(by_variant) / fixed_users,
        planned_users=ceil(boundary_users(by_variant[0], min(by_variant[1:]))),
    )


def growth(
    std_error: float, users: float, distance: float, alpha: float, planned_users: float = PLANNED_USERS
) -> float:
    """By what factor users must grow until the interval at `alpha` reaches no farther than `distance` (in the
    metric's unit) from its middle, if the spread between users stays as it is.

    `std_error` is the estimate's after `users` users, and `planned_users` where the interval is narrowest. 1
    where it reaches no farther now, and infinite where it always will: without a distance, a spread or users.
    """
    if not distance > 0 or not std_error > 0 or not users > 0:
        return inf

    def reaches(factor: float) -> bool:
        return half_width(std_error / sqrt(factor), users * factor, alpha, planned_users) > distance

    low, high = 1.0, 1.0
    while reaches(high):
        low, high = high, 2 * high
        if high > _MOST_GROWTH:
            return inf
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if reaches(middle) else (low, middle)
    return high


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
