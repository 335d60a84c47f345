"""CUPED: how far contrasts of shares of the control are from the truth, in their own standard errors."""

from __future__ import annotations

from math import sqrt

import numpy as np

from ekiben.experiments.statistics.effects import cuped, effect
from ekiben.experiments.statistics.moments import Moments
from tests.proofs.statistics.counted import Counted
from tests.proofs.statistics.populations import Floats

_USERS = (9000, 1000)
_MEAN, _SLOPE = 5.0, 8.0
_SHARES = (-0.5, 0.0, 1.0)
"""Of treatment - (1 + share) · control: the true relative effects, or a guardrail's margins."""


def look_at_adjusted(seed: int, experiments: int = 20_000) -> list[Counted]:
    rng = np.random.default_rng((seed, 14))
    scores = np.array([_scores(rng) for _ in range(experiments)])
    return [
        Counted(
            f"treatment is {1 + share:g} of the control: contrast beyond 1.96 standard errors",
            float(beyond),
            0.05,
            experiments,
        )
        for share, beyond in zip(_SHARES, (np.abs(scores) > 1.96).mean(0), strict=True)
    ]


def _scores(rng: np.random.Generator) -> list[float]:
    """The z score of each contrast that is 0 in truth. Most of the variance is the covariate's."""
    found = []
    y = [rng.normal(0, 1, users) for users in _USERS]
    noise = [rng.normal(0, 2, users) for users in _USERS]
    control = _MEAN + _SLOPE * y[0] + noise[0]
    for share in _SHARES:
        pair = cuped(_moments(control, y[0]), _moments((1 + share) * _MEAN + _SLOPE * y[1] + noise[1], y[1]))
        assert pair is not None
        known = effect(*pair, 0.05)
        assert known.absolute is not None
        assert known.std_error is not None
        assert known.control is not None
        contrast = known.absolute - share * known.control.value
        of_control = share**2 * known.control.variance - 2 * share * known.control.with_effect
        found.append(contrast / sqrt(known.std_error**2 + of_control))
    return found


def _moments(x: Floats, y: Floats) -> Moments:
    return Moments(len(x), *map(float, (x.sum(), (x * x).sum(), y.sum(), (y * y).sum(), (x * y).sum())))
