"""Comparing only where two versions differ: the estimate, its checks, and what it saves.

With x the sum of a user's outcomes of requests on which the versions differ, the effect is the difference of
the means of x over all assigned users. What the versions agree on has the same expectation in both variants
and cancels (A. Deng, V. Hu, "Diluted treatment effect estimation for trigger analysis in online controlled
experiments", WSDM 2015; R. Kohavi, D. Tang, Y. Xu, "Trustworthy Online Controlled Experiments", 2020,
chapter 20).
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sample_size import Spread
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from ekiben.experiments.statistics.shares_alike import ALIKE_ALPHA

CHECKED_AT: Final = ALIKE_ALPHA
"""The probability that each check ever fails where nothing is wrong."""

HARMLESS_SHARE: Final = 0.999
"""With both answers to so many requests in each variant it does not matter which ones lack one."""

LEAST_SHARE: Final = 0.95
"""With fewer in a variant nothing is compared, even where both variants lack as many."""


def answered_by_both(moments: Moments, share: float | None) -> Moments:
    """The moments of x as they would be if the other requests of the variant, too, had been answered by both.

    `share` of its requests were. Divided by it, x counts for all, where a missing answer has nothing to do
    with the outcome. The share is taken as known: its own error is a thousandth of the effect's.
    """
    if not share or share == 1:
        return moments
    return Moments(
        moments.n, moments.x / share, moments.xx / share**2, moments.y, moments.yy, moments.xy / share
    )


def answers_missing(shares: tuple[float | None, float | None], requests: int, p_value: float) -> bool:
    """Whether too many requests lack an answer to compare variants by those that have both.

    `shares` with both, of the control and the treatment; `requests` of the one with fewer; `p_value` that
    as many users lack one in both.
    """
    known = [share for share in shares if share is not None]
    if not known or requests < JUDGED_FROM:
        return False
    return min(known) < LEAST_SHARE or (min(known) < HARMLESS_SHARE and p_value < CHECKED_AT)


def carries_over(agreeing: Effect, users: int) -> bool:
    """Whether requests on which the versions agree have an effect, by its interval at `CHECKED_AT`; `users`
    are those of the variant with fewer.
    """
    low, high = agreeing.interval.low, agreeing.interval.high
    return users >= JUDGED_FROM and ((low is not None and low > 0) or (high is not None and high < 0))


def differing_spread(
    std: float, mean: float, share: float, requests: float = 1.0, effect: float = 0.0
) -> Spread:
    """How much x differs between users, for `sample_size` with the effect on all users, in the same unit.

    `std` and `mean` are those of the users' sums over all requests, `share` (above 0, at most 1) is that of
    requests on which the versions differ, and `requests` how many a user makes. For requests whose outcomes
    do not depend on whether the versions differ the variance is at most share · std² + share · (1 - share) ·
    mean² / requests. In the treatment a differing request brings more by effect / (share · requests). Raises
    ValueError for a share outside that range.
    """
    if not 0 < share <= 1 or not requests > 0:
        raise ValueError("the share of differing requests lies above 0 and at most at 1")
    one, other = (
        sqrt(share * std**2 + share * (1 - share) * each**2 / requests)
        for each in (mean, mean + effect / share)
    )
    return Spread(one, other)
