"""The standard normal distribution, to the last digits of a float."""

from __future__ import annotations

from math import erfc, exp, pi, sqrt
from statistics import NormalDist
from typing import Final

_STANDARD: Final = NormalDist()


def density(z: float) -> float:
    """The density at z."""
    return exp(-z * z / 2) / sqrt(2 * pi)


def above(z: float) -> float:
    """The probability of more than z; exact far out in the tail too."""
    return erfc(z / sqrt(2)) / 2


def quantile(probability: float) -> float:
    """The z below which lies `probability` (0 to 1, both excluded); to 1e-9 or better
    (M. J. Wichura, algorithm AS 241, 1988, as Python's `statistics.NormalDist`).
    """
    return _STANDARD.inv_cdf(probability)
