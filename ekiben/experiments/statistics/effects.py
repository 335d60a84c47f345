"""From sums to what a report shows: a metric's value with its standard error, and treatment minus control.

Every standard error is the one of users as independent units; requests and predictions of one user are not.
"""

from __future__ import annotations

from math import erfc, hypot, sqrt
from typing import Final

import msgspec

from ekiben.experiments.reports.effect import Control, Effect, Interval
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import (
    PLANNED_USERS,
    UNBOUNDED,
    confidence_sequence,
    half_width,
    sequential_p_value,
)


class Estimate(msgspec.Struct, frozen=True):
    """A variant's value of a metric, its ordinary standard error, and the users behind it.

    Where something was added to both variants' values (CUPED), the standard error is that of the rest,
    `common` the variance of what was added, and `with_common` its covariance with the rest.
    """

    value: float
    std_error: float
    users: int
    share: bool = False  # between 0 and 1, of users or of requests: errors, fallbacks, conversions
    common: float = 0.0
    with_common: float = 0.0


STEADYING_USERS: Final = 300
"""How many users' worth of both variants' variance goes into each one's: see `steadied`."""

COUNTED_EXTRA: Final = 2
"""How many more users a share's variance counts: see `steadied`."""


UNKNOWN: Final = Effect(
    absolute=None,
    interval=UNBOUNDED,
    relative=None,
    relative_interval=UNBOUNDED,
    p_value=None,
    fixed_p_value=None,
)
"""The effect where one of the variants has no value."""


def mean(moments: Moments) -> Estimate | None:
    """The mean of x; None below two users."""
    return _estimate(moments.mean, moments.var, moments.n)


def ratio(moments: Moments) -> Estimate | None:
    """The sum of x by the sum of y, its variance by the delta method (A. Deng, U. Knoblich, J. Lu, "Applying
    the delta method in metric analytics", KDD 2018); None below two users or where y adds up to 0.
    """
    if moments.y == 0 or (variance := moments.var_beside(value := moments.x / moments.y)) is None:
        return None
    return _estimate(value, variance / (moments.y / moments.n) ** 2, moments.n)


def rate(moments: Moments) -> Estimate | None:
    """A share between 0 and 1: of users (y is 1 for each) or of requests (x of them among y).

    As `ratio`; its effect has an interval even where none or all have been counted so far (`steadied`).
    """
    estimate = ratio(moments)
    return None if estimate is None else Estimate(estimate.value, estimate.std_error, estimate.users, True)


def proportion(moments: Moments) -> Estimate | None:
    """The share of users whose x is 1; x is 0 or 1. As `rate`."""
    ones = Moments(moments.n, moments.x, moments.xx, float(moments.n), float(moments.n), moments.x)
    return rate(ones)


def cuped(control: Moments, treatment: Moments) -> tuple[Estimate, Estimate] | None:
    """The means of x of control and treatment, with what y (a covariate from before the first exposure)
    explains taken out.

    A. Deng, Y. Xu, R. Kohavi, T. Walker, "Improving the sensitivity of online controlled experiments by
    utilizing pre-experiment data", WSDM 2013; one coefficient, from both variants together, as tea-tasting.
    None below two users in a variant; the plain means where y does not vary. Coefficient times the mean of y
    over both variants was added to both means. It cancels in their difference, and not in the share of the
    control's mean.
    """
    both = control + treatment
    if min(control.n, treatment.n) < 2 or both.cov is None or both.mean_y is None:
        return None
    slope = both.cov / both.var_y if both.var_y else 0.0
    common = slope**2 * sum(each.n * (each.var_y or 0.0) for each in (control, treatment)) / both.n**2

    def adjusted(each: Moments) -> Estimate:
        value = (each.x - slope * each.y) / each.n + slope * (both.mean_y or 0.0)
        std_error = sqrt((each.var_beside(slope) or 0.0) / each.n)
        with_common = slope * ((each.cov or 0.0) - slope * (each.var_y or 0.0)) / both.n
        return Estimate(value, std_error, each.n, False, common, with_common)

    return adjusted(control), adjusted(treatment)


def saved_by_covariate(control: Moments, treatment: Moments) -> float | None:
    """The share of users (0 to 1) that the covariate y saves: so many fewer give an interval as narrow as
    without it. Users are as the variance, so it is 1 - variance with / variance without (Deng et al. 2013,
    section 3.2: the square of the correlation). None where there is nothing to compare.
    """
    adjusted = cuped(control, treatment)
    plain = [mean(each) for each in (control, treatment)]
    if adjusted is None or plain[0] is None or plain[1] is None or not (control + treatment).var_y:
        return None
    without = hypot(plain[0].std_error, plain[1].std_error)
    if not without:
        return None
    return max(0.0, 1 - (hypot(*(each.std_error for each in adjusted)) / without) ** 2)


def effect(
    control: Estimate | None, treatment: Estimate | None, alpha: float, planned_users: float = PLANNED_USERS
) -> Effect:
    """Treatment minus control with intervals that hold at every look.

    `alpha` is what this comparison may use up: the experiment's, divided by the number of comparisons that it
    is one of. Intervals are narrowest at `planned_users` users of both variants, fixed beforehand. The fixed
    p-value is the normal approximation's with the ordinary standard errors; all else has the steadied ones.
    """
    if control is None or treatment is None:
        return UNKNOWN
    users = boundary_users(control.users, treatment.users)
    absolute = treatment.value - control.value
    ordinary = hypot(control.std_error, treatment.std_error)
    std_error = hypot(*steadied(control, treatment))
    return Effect(
        absolute=absolute,
        interval=confidence_sequence(absolute, std_error, users, alpha, planned_users),
        relative=absolute / abs(control.value) if control.value else None,
        relative_interval=relative_interval(control, treatment, alpha, planned_users),
        p_value=sequential_p_value(absolute, std_error, users, planned_users),
        fixed_p_value=erfc(abs(absolute) / ordinary / sqrt(2)) if ordinary else None,
        std_error=std_error,
        users=users,
        planned_users=planned_users,
        control=_control_of(control, treatment),
    )


def boundary_users(control: float, treatment: float) -> float:
    """The users that the boundary counts: those of an experiment with equal parts that knows as much,
    4 · control · treatment / (control + treatment). All of them at 50/50, a fifth at 95/5.
    """
    return 4 * control * treatment / (control + treatment)


def without_intervals(known: Effect) -> Effect:
    """The effect's size alone, where nothing can be said of how surely it is known."""
    return msgspec.structs.replace(
        known,
        interval=UNBOUNDED,
        relative_interval=UNBOUNDED,
        p_value=None,
        fixed_p_value=None,
        std_error=None,
    )


def _control_of(control: Estimate, treatment: Estimate) -> Control:
    variance, _, both = _variances(control, treatment)
    return Control(control.value, variance, both - variance)


def _variances(control: Estimate, treatment: Estimate) -> tuple[float, float, float]:
    """The variances of the values of control and treatment, and their covariance, with steadied errors."""
    first, second = steadied(control, treatment)
    return (
        first**2 + control.common + 2 * control.with_common,
        second**2 + control.common + 2 * treatment.with_common,
        control.common + control.with_common + treatment.with_common,
    )


def steadied(control: Estimate, treatment: Estimate) -> tuple[float, float]:
    """The standard errors of control and treatment, kept from being too small by chance.

    A skewed or rare metric shows a small variance exactly when it shows a small mean: until the first large
    purchase, or the first error, has come. With a small variant beside a large one that alone broke the
    bound on false alarms (docs/statistics.md has the numbers). So each variance between users becomes
    the mean of its own and both variants' pooled one, weighted by the variant's users and STEADYING_USERS,
    where that is larger.

    A share gets the variance of COUNTED_EXTRA more users who were counted, so that "no errors in 700 users"
    says "fewer than about 1 in 100" and not "never any" (after A. Agresti, B. Caffo, The American
    Statistician 54 (2000), and the rule of three). Both differences vanish as users grow, and so does their
    price.
    """
    users = control.users + treatment.users
    first, second = (
        each.std_error**2 * each.users + each.share * COUNTED_EXTRA / each.users
        for each in (control, treatment)
    )
    pooled = (control.users * first + treatment.users * second) / users

    def steady(estimate: Estimate, own: float) -> float:
        mixed = (estimate.users * own + STEADYING_USERS * pooled) / (estimate.users + STEADYING_USERS)
        return sqrt(max(own, mixed) / estimate.users)

    return steady(control, first), steady(treatment, second)


def relative_interval(
    control: Estimate, treatment: Estimate, alpha: float, planned_users: float = PLANNED_USERS
) -> Interval:
    """The interval of treatment minus control as a share of the control's value without its sign.

    Fieller's (E. C. Fieller, "Some problems in interval estimation", JRSS B 16 (1954)) with the sequential
    boundary: all r at which treatment - (1 + r) control may be 0. It leaves 0 out exactly when the
    absolute interval does, and needs no value above 0 (the delta method on a log scale, tea-tasting's, does).
    Both ends are None while the control's own interval holds 0: the share of something that may be nothing
    is not bounded.
    """
    users = boundary_users(control.users, treatment.users)
    boundary = half_width(1.0, users, alpha, planned_users)
    of_control, of_treatment, both = _variances(control, treatment)
    a = control.value**2 - boundary**2 * of_control
    if not a > 0 or of_control + of_treatment == 0:
        return UNBOUNDED
    b = control.value * treatment.value - boundary**2 * both
    c = treatment.value**2 - boundary**2 * of_treatment
    root = sqrt(max(b * b - a * c, 0.0))
    low, high = (b - root) / a - 1, (b + root) / a - 1
    return Interval(low=low, high=high) if control.value > 0 else Interval(low=-high, high=-low)


def _estimate(value: float | None, variance: float | None, users: int) -> Estimate | None:
    return None if value is None or variance is None else Estimate(value, sqrt(variance / users), users)
