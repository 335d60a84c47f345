"""How much evidence there is that an effect is not 0, in a unit that many metrics may share.

An e-value is at least 0 and has a mean of at most 1 where there is no effect, at whatever time one stops. The
one here is the normal mixture martingale behind the intervals of `sequential` (H. Robbins, "Statistical
methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41 (1970);
I. Waudby-Smith et al., Annals of Statistics 52 (2024), theorem 2.2). It is the Bayes factor of effects that
are normal around 0 with a standard deviation of rho (in standard deviations between users) against no effect.
With the z score and t users it is

    e = exp( z² · t rho² / (2 (1 + t rho²)) ) / sqrt(1 + t rho²)

and it passes 1/alpha exactly when the interval at alpha with this rho leaves 0 out.

Of many metrics e-BH says which have an effect (R. Wang, A. Ramdas, "False discovery rate control with
e-values", JRSS B 84 (2022)): the k largest of K for the largest k whose k-th is at least K / (k · alpha).
Among those that it names the mean share of wrong ones is at most alpha, however the metrics depend on each
other. Where nothing has an effect, that is the probability that it names any. The sign of an effect is
claimed with it: a z score on the wrong side of the true effect is no farther from 0 than from that effect,
whose own martingale is at least as large.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, isfinite, log, log1p, sqrt
from typing import Final

from ekiben.experiments.statistics.sequential import PLANNED_USERS

_LARGEST_LOG: Final = 700.0


def e_value(
    estimate: float, std_error: float, users: float, level: float, planned_users: float = PLANNED_USERS
) -> float:
    """The evidence against an effect of 0 after `users` users, those of both variants counted.

    `std_error` is the ordinary one of `estimate`. `level` is the alpha at which the evidence is likeliest to
    be asked for: rho is tuned to it and to `planned_users`, as `sequential` tunes it, and so both must be
    fixed beforehand. 1 where nothing can be said.
    """
    if users <= 0 or not std_error > 0 or not isfinite(std_error) or not isfinite(estimate):
        return 1.0
    twice = 2 * log(1 / level)
    spread = users * (twice + log1p(twice)) / planned_users  # t rho²
    score = estimate / std_error
    exponent = score * score * spread / (2 * (1 + spread)) if abs(score) < 1e150 else inf
    return exp(min(exponent, _LARGEST_LOG)) / sqrt(1 + spread)


def e_bh(e_values: Sequence[float], alpha: float) -> tuple[bool, ...]:
    """Which of these have an effect, with a false discovery rate of at most `alpha`, in the same order."""
    count = len(e_values)
    ranked = sorted(e_values, reverse=True)
    named = max((k for k, each in enumerate(ranked, 1) if k * each >= count / alpha), default=0)
    return tuple(named > 0 and each >= ranked[named - 1] for each in e_values)
