"""How many users and days an experiment needs: from the sequential boundary, not the fixed-sample formula.

Power is the probability that the interval has left 0 out at one of the looks until the planned number of
users is reached. Guardrails are planned the same way: with the margin as the effect, `sample_size` gives the
users with which a guardrail holds that is in truth unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt

import msgspec

from experiments.boundary_crossing import crossing_probability
from experiments.normal import quantile
from experiments.verdict import JUDGED_FROM

LOOKS = 100


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


def sample_size(
    effect: float,
    std: float,
    weights: Sequence[float],
    *,
    alpha: float,
    power: float = 0.8,
    std_treatment: float | None = None,
    comparisons: int | None = None,
    min_users: int = JUDGED_FROM,
    looks: int = LOOKS,
) -> SampleSize:
    """The users with which `effect` (treatment minus control, absolute, not 0) is found with `power`.

    `std` is the metric's between users (for a proportion `proportion_std`), of the control and, unless it is
    given apart, of the treatment. `weights` are the variants', control first, in any unit. `alpha` is the
    experiment's; it is divided by `comparisons`, the number of treatments unless said (for guardrails: times
    the number of guardrails). Each variant gets at least `min_users`. The treatment with the least weight
    decides. Raises ValueError for what is no plan.
    """
    if len(weights) < 2 or not min(weights) > 0:
        raise ValueError("a plan needs a control and a treatment, each with a weight above 0")
    if not std > 0 or not effect or not 0 < power < 1 or not 0 < alpha < 1:
        raise ValueError(
            "a plan needs a standard deviation above 0, an effect, a power and an alpha in (0, 1)"
        )
    family = alpha / (comparisons or len(weights) - 1)
    pair = weights[0] + min(weights[1:])
    drift = abs(effect) / _unit_error(std, std_treatment, weights)
    fixed = ((quantile(1 - family / 2) + quantile(power)) / drift) ** 2
    needed = _users(drift, fixed, family, power, looks)
    total = sum(weights)
    least = min_users * total / min(weights)
    users = max(needed * total / pair, least)
    by_variant = tuple(ceil(users * weight / total) for weight in weights)
    fixed_users = ceil(fixed * total / pair)
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
    std: float,
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
    family = alpha / (comparisons or len(weights) - 1)
    pair_users = users * (weights[0] + min(weights[1:])) / sum(weights)
    low, high = 0.0, 20 / sqrt(pair_users)
    while crossing_probability(high, pair_users, family, looks) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        if crossing_probability(middle, pair_users, family, looks) < power:
            low = middle
        else:
            high = middle
    return high * _unit_error(std, None, weights)


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


def proportion_std(share: float) -> float:
    """The standard deviation between users of a proportion of `share`."""
    return sqrt(share * (1 - share))


def _unit_error(std: float, std_treatment: float | None, weights: Sequence[float]) -> float:
    """The effect's standard error times the square root of the users of the two variants together."""
    pair = weights[0] + min(weights[1:])
    other = std if std_treatment is None else std_treatment
    return sqrt(std * std * pair / weights[0] + other * other * pair / min(weights[1:]))


def _users(drift: float, fixed: float, alpha: float, power: float, looks: int) -> float:
    low, high = 0.0, fixed
    while crossing_probability(drift, high, alpha, looks) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        if crossing_probability(drift, middle, alpha, looks) < power:
            low = middle
        else:
            high = middle
    return high
