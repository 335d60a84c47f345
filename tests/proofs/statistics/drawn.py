"""Running sums of many experiments at once, drawn as sums: what adding up their users would give."""

from __future__ import annotations

import numpy as np

from tests.proofs.statistics.populations import Floats


def normal(
    rng: np.random.Generator, shape: tuple[int, ...], step: int, mean: float, std: float
) -> tuple[Floats, Floats]:
    """The mean and the sample variance so far, of the shape (…, looks), each look after `step` more users who
    are normal. A sum of them is normal, and their squares around it are a chi-square.
    """
    own = rng.normal(mean, std / np.sqrt(step), shape)
    squares = std**2 * rng.chisquare(step - 1, shape) + step * own**2
    n = step * np.arange(1, shape[-1] + 1)
    means = own.cumsum(-1) * step / n
    return means, np.maximum(squares.cumsum(-1) - n * means**2, 0.0) / (n - 1)


def shares(rng: np.random.Generator, shape: tuple[int, ...], step: int, share: float) -> Floats:
    """The share of ones so far, as `normal`."""
    n = step * np.arange(1, shape[-1] + 1)
    return rng.binomial(step, share, shape).cumsum(-1) / n
