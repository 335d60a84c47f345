"""Intervals and p-values that hold at every look, however often one looks and whenever one stops.

Asymptotic confidence sequences: I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (2024),
theorem 2.2. The interval after t users is

    estimate ± std_error · sqrt( (1 + 1/(t rho²)) · (log(1 + t rho²) + 2 log(1/alpha)) )

for any rho > 0 that was fixed beforehand. It is narrowest, beside its fixed-sample sister, near the planned
number of users. GrowthBook's choice, after the paper's appendix on tuning, is

    rho² = (2 log(1/alpha) + log(2 log(1/alpha) + 1)) / planned users.

All of it is asymptotic: the estimate has to be nearly normal when the first look is taken
(`JUDGED_FROM`).
"""

from __future__ import annotations

from math import exp, inf, isfinite, log, log1p, sqrt
from typing import Final

from ekiben.experiments.reports.effect import Interval

JUDGED_FROM: Final = 100
"""Matured users in each variant below which nothing is judged: the intervals are asymptotic."""

PLANNED_USERS: Final = 5000
"""The planned users of an experiment that names no other number: GrowthBook's."""

UNBOUNDED: Final = Interval(low=None, high=None)


def half_width(std_error: float, users: float, alpha: float, planned_users: float = PLANNED_USERS) -> float:
    """Half the width of the interval that covers the truth at all looks together with probability 1 - alpha.

    `std_error` is the ordinary one of the estimate after `users` users of both variants, counted as
    `effects.boundary_users` does;
    `alpha` is two-sided, between 0 and 1. `planned_users` is where the interval is narrowest, fixed
    beforehand. Infinite without users.
    """
    if users <= 0:
        return inf
    return std_error * sqrt(_boundary_squared(log(1 / alpha), users / planned_users))


def confidence_sequence(
    estimate: float, std_error: float, users: float, alpha: float, planned_users: float = PLANNED_USERS
) -> Interval:
    """The interval of `half_width` around `estimate`; both ends None where nothing can be said.

    That is without users, and with a standard error of 0: values that have not differed yet do not tell how
    much they can (`effects.steadied` gives shares of users a standard error even then).
    """
    width = half_width(std_error, users, alpha, planned_users) if std_error > 0 else inf
    if not isfinite(width) or not isfinite(estimate):
        return UNBOUNDED
    return Interval(low=estimate - width, high=estimate + width)


def sequential_p_value(
    estimate: float, std_error: float, users: float, planned_users: float = PLANNED_USERS
) -> float:
    """The smallest alpha at which `confidence_sequence` leaves 0 out: an anytime-valid p-value.

    Found by bisection to the last digit, so that p < alpha and "the interval at alpha leaves 0 out" are one
    statement at every alpha (rho depends on alpha, so that the closed form, which needs one rho, would not
    agree with the intervals). Valid at every look because the intervals are nested in alpha. 1 where nothing
    can be said.
    """
    if users <= 0 or not std_error > 0 or not isfinite(std_error) or not isfinite(estimate):
        return 1.0
    score = abs(estimate / std_error)
    wanted = min(score * score, 1e9)  # beyond that p is 0 in floating point anyway
    low, high = 0.0, wanted / 2  # the squared boundary is at least 2 log(1/alpha)
    part = users / planned_users
    if wanted <= 1 + 1 / (2 * part):  # the squared boundary's limit as alpha goes to 1
        return 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return exp(-high)
        if _boundary_squared(middle, part) < wanted:
            low = middle
        else:
            high = middle


def _boundary_squared(log_inverse_alpha: float, part: float) -> float:
    """The squared z score that an effect has to pass after this part of the planned users."""
    twice = 2 * log_inverse_alpha
    spread = part * (twice + log1p(twice))  # t rho²
    return (1 + 1 / spread) * (log1p(spread) + twice)
