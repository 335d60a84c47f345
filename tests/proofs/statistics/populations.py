"""Simulated users: metrics as they occur, each with an effect whose true size is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Pair = tuple[Estimate | None, Estimate | None]


@dataclass(frozen=True)
class Population:
    """A metric: `draw(rng, treated, size)` gives each user's (x, y); `size` is the effect as drawn, `truth`
    the same in the metric's unit; `std` between users at a size.
    """

    name: str
    draw: Callable[[np.random.Generator, Bools, float], tuple[Floats, Floats]]
    estimate: Callable[[Moments, Moments], Pair]
    mean: float
    truth: Callable[[float], float]
    std: Callable[[float], float]
    planned: float  # the size that the power is checked at


def each(estimator: Callable[[Moments], Estimate | None]) -> Callable[[Moments, Moments], Pair]:
    return lambda control, treatment: (estimator(control), estimator(treatment))


def _cuped(control: Moments, treatment: Moments) -> Pair:
    return effects.cuped(control, treatment) or (None, None)


def _normal(rng: np.random.Generator, treated: Bools, size: float) -> tuple[Floats, Floats]:
    x = rng.normal(10, 15, treated.shape) + size * treated
    return x, np.zeros_like(x)


def _with_covariate(rng: np.random.Generator, treated: Bools, size: float) -> tuple[Floats, Floats]:
    y = rng.normal(0, 1, treated.shape)
    return 10 + 15 * (0.7 * y + sqrt(0.51) * rng.normal(0, 1, treated.shape)) + size * treated, y


def _share(share: float) -> Callable[[np.random.Generator, Bools, float], tuple[Floats, Floats]]:
    def draw(rng: np.random.Generator, treated: Bools, size: float) -> tuple[Floats, Floats]:
        x = (rng.random(treated.shape) < share + size * treated).astype(float)
        return x, np.zeros_like(x)

    return draw


# One user in twenty buys, for lognormal(3, 1.5): the largest of 1,000 purchases is some 50 times the mean.
_BUYS = 0.05
CAP = exp(3 + 1.5 * NormalDist().inv_cdf(0.8))
"""The 99th percentile of all users: a fifth of those who buy have more."""


def _purchase(power: int, cap: float) -> float:
    """The mean of a power of a purchase that is cut at `cap`."""
    below = NormalDist(3 + power * 1.5**2, 1.5).cdf(log(cap))
    return exp(3 * power + (power * 1.5) ** 2 / 2) * below + cap**power * (
        1 - NormalDist(3, 1.5).cdf(log(cap))
    )


def _purchases(name: str, cap: float) -> Population:
    def draw(rng: np.random.Generator, treated: Bools, size: float) -> tuple[Floats, Floats]:
        buys = rng.random(treated.shape) < _BUYS + size * treated
        x = np.where(buys, np.minimum(rng.lognormal(3, 1.5, treated.shape), cap), 0.0)
        return x, np.zeros_like(x)

    mean, squared = _purchase(1, cap), _purchase(2, cap)

    def std(size: float) -> float:
        return sqrt((_BUYS + size) * squared - ((_BUYS + size) * mean) ** 2)

    estimate = each(effects.mean)
    return Population(name, draw, estimate, _BUYS * mean, lambda size: size * mean, std, planned=0.06)


# As the demo's: 60 % are approved, for lognormal(6, 0.8); good ones bring 15 % of it, bad ones cost 60 %.
_AMOUNT, _AMOUNT_SQUARED, _GOOD = exp(6 + 0.8**2 / 2), exp(12 + 2 * 0.8**2), 0.85


def _profit(rng: np.random.Generator, treated: Bools, size: float) -> tuple[Floats, Floats]:
    good = rng.random(treated.shape) < _GOOD + size * treated
    amount = rng.lognormal(6, 0.8, treated.shape) * (rng.random(treated.shape) < 0.6)
    x = np.where(good, 0.15, -0.6) * amount
    return x, np.zeros_like(x)


def _profit_mean(size: float) -> float:
    return 0.6 * _AMOUNT * (0.15 - 0.75 * (1 - _GOOD - size))


def _profit_std(size: float) -> float:
    good = _GOOD + size
    squared = 0.6 * _AMOUNT_SQUARED * (good * 0.0225 + (1 - good) * 0.36)
    return sqrt(squared - _profit_mean(size) ** 2)


def _clicks(rng: np.random.Generator, treated: Bools, size: float) -> tuple[Floats, Floats]:
    views = 1 + rng.poisson(3, treated.shape)
    taste = rng.beta(2, 18, treated.shape) * (1 + size * treated)
    return rng.binomial(views, taste).astype(float), views.astype(float)


def _clicks_std(size: float) -> float:
    # Of (clicks - ratio · views) / mean views, by the law of total variance.
    ratio = 0.1 * (1 + size)
    taste_variance = 2 * 18 / (20**2 * 21) * (1 + size) ** 2
    within = 4 * (ratio - ratio**2 - taste_variance)
    return sqrt(within + (3 + 16) * taste_variance) / 4


NORMAL = Population(
    "mean, normal", _normal, each(effects.mean), 10, lambda size: size, lambda _: 15.0, planned=1.5
)
CUPED = Population(
    "mean with CUPED", _with_covariate, _cuped, 10, lambda size: size, lambda _: 15 * sqrt(0.51), planned=1.0
)
PROPORTION = Population(
    "proportion, 5 %",
    _share(0.05),
    each(effects.proportion),
    0.05,
    lambda size: size,
    lambda size: sqrt((0.05 + size) * (0.95 - size)),
    planned=0.015,
)
RARE = Population(
    "error rate, 0.5 %",
    _share(0.005),
    each(effects.proportion),
    0.005,
    lambda size: size,
    lambda size: sqrt((0.005 + size) * (0.995 - size)),
    planned=0.01,
)
PURCHASES = _purchases("purchases: 95 % zeros, long tail", 1e12)
CAPPED = _purchases("the same with a cap at the 99th percentile", CAP)
PROFIT = Population(
    "profit: zeros, gains, large losses",
    _profit,
    each(effects.mean),
    _profit_mean(0),
    lambda size: _profit_mean(size) - _profit_mean(0),
    _profit_std,
    planned=0.05,
)
RATIO = Population(
    "ratio, clicks by views",
    _clicks,
    each(effects.ratio),
    0.1,
    lambda size: 0.1 * size,
    _clicks_std,
    planned=0.12,
)
ALL = (NORMAL, CUPED, PROPORTION, RARE, PURCHASES, CAPPED, PROFIT, RATIO)
SHARES = (PROPORTION, RARE)
