"""From sums to what a report shows: a metric's value with its standard error, and treatment minus control.

Every standard error is the one of users as independent units; requests and predictions of one user are not.
"""

from __future__ import annotations

from math import erfc, sqrt
from typing import Final

import msgspec

from experiments.moments import Moments
from experiments.report import Effect, Interval
from experiments.sequential import UNBOUNDED, confidence_sequence, half_width, sequential_p_value


class Estimate(msgspec.Struct, frozen=True):
    """A variant's value of a metric and its standard error, in the metric's own unit."""

    value: float
    std_error: float


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
    value, variance = moments.mean, moments.var
    return None if value is None or variance is None else Estimate(value, sqrt(variance / moments.n))


def ratio(moments: Moments) -> Estimate | None:
    """The sum of x by the sum of y, its variance by the delta method (A. Deng, U. Knoblich, J. Lu, "Applying
    the delta method in metric analytics", KDD 2018); None below two users or where y adds up to 0.
    """
    if moments.n < 2 or moments.y == 0:
        return None
    value = moments.x / moments.y
    return Estimate(value, sqrt(_ratio_variance(moments, value)) / abs(moments.y / moments.n))


def rate(moments: Moments) -> Estimate | None:
    """A share between 0 and 1: of users (y is 1 for each) or of requests (x of them among y), of which none
    or all may have been counted so far.

    As `ratio`, but its standard error is at least 1/n, that of one user in n who differs: "no errors in 500
    users" then says "fewer than about 1 in 100" (the rule of three, J. A. Hanley, A. Lippman-Hand, JAMA 249
    (1983)) and not "never any".
    """
    estimate = ratio(moments)
    if estimate is None:
        return None
    return Estimate(estimate.value, max(estimate.std_error, 1 / moments.n))


def proportion(moments: Moments) -> Estimate | None:
    """The share of users whose x is 1; x is 0 or 1. As `rate`."""
    ones = Moments(moments.n, moments.x, moments.xx, float(moments.n), float(moments.n), moments.x)
    return rate(ones)


def cuped(control: Moments, treatment: Moments) -> tuple[Estimate, Estimate] | None:
    """The means of x of control and treatment, with what y (a covariate from before the first exposure)
    explains taken out.

    A. Deng, Y. Xu, R. Kohavi, T. Walker, "Improving the sensitivity of online controlled experiments by
    utilizing pre-experiment data", WSDM 2013; one coefficient, from both variants together, as tea-tasting.
    None below two users in a variant; the plain means where y does not vary.
    """
    both = control + treatment
    plain = mean(control), mean(treatment)
    if plain[0] is None or plain[1] is None or both.cov is None or both.mean_y is None:
        return None
    if not both.var_y:
        return plain[0], plain[1]
    coefficient = both.cov / both.var_y
    return (
        _adjusted(control, coefficient, both.mean_y),
        _adjusted(treatment, coefficient, both.mean_y),
    )


def effect(control: Estimate | None, treatment: Estimate | None, users: int, alpha: float) -> Effect:
    """Treatment minus control with intervals that hold at every look.

    `users` are the matured users of both variants together, `alpha` what this comparison may use up: the
    experiment's, divided by the number of comparisons that it is one of. The fixed p-value is the normal
    approximation's.
    """
    if control is None or treatment is None:
        return UNKNOWN
    absolute = treatment.value - control.value
    std_error = sqrt(control.std_error**2 + treatment.std_error**2)
    return Effect(
        absolute=absolute,
        interval=confidence_sequence(absolute, std_error, users, alpha),
        relative=absolute / abs(control.value) if control.value else None,
        relative_interval=relative_interval(control, treatment, users, alpha),
        p_value=sequential_p_value(absolute, std_error, users),
        fixed_p_value=erfc(abs(absolute) / std_error / sqrt(2)) if std_error else None,
    )


def relative_interval(control: Estimate, treatment: Estimate, users: int, alpha: float) -> Interval:
    """The interval of treatment minus control as a share of the control's value without its sign.

    Fieller's (E. C. Fieller, "Some problems in interval estimation", JRSS B 16 (1954)) with the sequential
    boundary: all r at which treatment - (1 + r) control is not told from 0. It leaves 0 out exactly when the
    absolute interval does, and needs no value above 0 (the delta method on a log scale, tea-tasting's, does).
    Both ends are None while the control's own interval holds 0: the share of something that may be nothing
    is not bounded.
    """
    boundary = half_width(1.0, users, alpha)
    a = control.value**2 - (boundary * control.std_error) ** 2
    if not a > 0 or control.std_error + treatment.std_error == 0:
        return UNBOUNDED
    b = control.value * treatment.value
    c = treatment.value**2 - (boundary * treatment.std_error) ** 2
    root = sqrt(max(b * b - a * c, 0.0))
    low, high = (b - root) / a - 1, (b + root) / a - 1
    return Interval(low=low, high=high) if control.value > 0 else Interval(low=-high, high=-low)


def _ratio_variance(moments: Moments, value: float) -> float:
    """The sample variance of x - value · y."""
    n = moments.n
    total = moments.x - value * moments.y
    squares = moments.xx - 2 * value * moments.xy + value * value * moments.yy
    return max(squares - total * total / n, 0.0) / (n - 1)


def _adjusted(moments: Moments, coefficient: float, mean_y: float) -> Estimate:
    n = moments.n
    total = moments.x - coefficient * moments.y
    squares = moments.xx - 2 * coefficient * moments.xy + coefficient**2 * moments.yy
    variance = max(squares - total * total / n, 0.0) / (n - 1)
    return Estimate(total / n + coefficient * mean_y, sqrt(variance / n))
