"""The probability that an effect has passed the sequential boundary by a number of users.

In time t = users, the z score times sqrt(t) is a Brownian motion with a drift, and the boundary of
`sequential` a curve c(t) above it. Its first passage has a density g that solves

    g(t) = -2 psi(t; 0, 0) + 2 ∫ g(s) psi(t; c(s), s) ds,  s from 0 to t,
    psi(t; y, s) = normal density of c(t) around y after t - s · (c'(t) - (c(t) - y) / (t - s)) / 2

(A. Buonocore, A. G. Nobile, L. M. Ricciardi, "A new integral equation for the evaluation of
first-passage-time probability densities", Advances in Applied Probability 19 (1987)), a Volterra equation
whose kernel vanishes at s = t, solved by the trapezoidal rule. Exact but for the grid. That the effect might
pass the boundary of the other side first is left out: it does so with a probability below alpha / 2.

Looks are not continuous: the boundary is moved out by 0.5826 · sqrt(time between looks) (D. Siegmund,
"Sequential Analysis", 1985, chapter X).
"""

from __future__ import annotations

from math import exp, log, log1p, pi, sqrt
from typing import Final

from ekiben.experiments.statistics.sequential import PLANNED_USERS

_BETWEEN_LOOKS: Final = 0.5825971579390107  # -zeta(1/2) / sqrt(2 pi)
_STEPS: Final = 100  # of the grid


def crossing_probability(
    drift: float, users: float, alpha: float, planned_users: float = PLANNED_USERS, looks: int = 100
) -> float:
    """The probability that the interval at `alpha` has left 0 out on the right side at one of `looks` evenly
    spaced looks, the last after `users` users.

    The interval is narrowest at `planned_users`. `drift` is the effect by its standard error after one user
    of both variants together: effect / (std_error · sqrt(users)).
    """
    twice = 2 * log(1 / alpha)
    rho2 = (twice + log1p(twice)) / planned_users
    moved = _BETWEEN_LOOKS * sqrt(users / looks)
    # The first look is where passing begins: before it nothing is seen.
    times = [users * step / _STEPS for step in range(1, _STEPS + 1)]
    curve, slope = [], []
    for t in times:
        level = (t + 1 / rho2) * (log1p(t * rho2) + twice)
        root = sqrt(level)
        curve.append(root + moved - drift * t)
        slope.append((log1p(t * rho2) + twice + 1) / (2 * root) - drift)
    step = users / _STEPS
    passage: list[float] = []
    for k, t in enumerate(times):
        total = -2 * _psi(curve[k], slope[k], t)
        for j in range(k):
            total += 2 * step * passage[j] * _psi(curve[k] - curve[j], slope[k], t - times[j])
        passage.append(max(total, 0.0))
    return min(step * (sum(passage) - passage[-1] / 2), 1.0)


def _psi(distance: float, slope: float, after: float) -> float:
    square = distance * distance / (2 * after)
    if square > 700:
        return 0.0
    return exp(-square) / sqrt(2 * pi * after) * (slope - distance / after) / 2
