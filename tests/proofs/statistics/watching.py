"""Metrics that are only watched: how often any of many is called in A/A experiments."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ekiben.experiments.statistics.e_values import e_bh, e_value
from ekiben.experiments.statistics.sequential import confidence_sequence
from tests.proofs.statistics.peeking import ALPHA, misses
from tests.proofs.statistics.populations import Floats

METRICS = 15
TREATMENTS = 2
USERS = 30_000


@dataclass(frozen=True)
class WatchedSeen:
    """In how many experiments any metric was called at any look."""

    experiments: int
    called: int  # by e-BH
    uncorrected: int  # by each interval at alpha / treatments


def look_at_watched(seed: int, experiments: int = 1000, looks: int = 100) -> WatchedSeen:
    """Metrics of one user are correlated (0.3), and all treatments share the control."""
    rng = np.random.default_rng((seed, 3))
    called = uncorrected = 0
    for _ in range(experiments):
        effects, errors = _experiment(rng, looks)
        called += _any(effects, errors, looks, corrected=True)
        uncorrected += _any(effects, errors, looks, corrected=False)
    return WatchedSeen(experiments, called, uncorrected)


def _experiment(rng: np.random.Generator, looks: int) -> tuple[Floats, Floats]:
    """Effects and standard errors (look, comparison). Sums of normal users are drawn as sums: a normal one,
    and for the squares around it a chi-square, which is what adding up users would give.
    """
    step = USERS // looks // (TREATMENTS + 1)
    shape = (looks, METRICS, TREATMENTS + 1)
    shared = rng.normal(0, 1, (looks, 1, TREATMENTS + 1))
    mean = (np.sqrt(0.3) * shared + np.sqrt(0.7) * rng.normal(0, 1, shape)) / np.sqrt(step)
    squares = rng.chisquare(step - 1, shape) + step * mean**2
    n = step * np.arange(1, looks + 1)[:, None, None]
    means = (step * mean).cumsum(0) / n
    variances = (squares.cumsum(0) - n * means**2) / (n - 1) / n
    effects = means[:, :, 1:] - means[:, :, :1]
    errors = np.sqrt(variances[:, :, 1:] + variances[:, :, :1])
    return effects.reshape(looks, -1), errors.reshape(looks, -1)


def _any(effects: Floats, errors: Floats, looks: int, *, corrected: bool) -> bool:
    """Whether anything is called at any look: both ways need at least z² = 2 log(1/level)."""
    count = METRICS * TREATMENTS
    needed = 2 * log(1 / ALPHA)
    for look in np.flatnonzero(((effects / errors) ** 2).max(1) >= needed):
        users = 2 * (USERS // looks // (TREATMENTS + 1)) * (int(look) + 1)
        pairs = list(zip(effects[look].tolist(), errors[look].tolist(), strict=True))
        if corrected:
            if any(e_bh([e_value(*pair, users, ALPHA / count) for pair in pairs], ALPHA)):
                return True
        elif any(misses(confidence_sequence(*pair, users, ALPHA / TREATMENTS), 0.0) for pair in pairs):
            return True
    return False
