"""Does a version fail far more often than the control, from the first users on?

An exact test of two streams of yes and no, for the first users, with whom intervals are still silent
(`sequential.JUDGED_FROM`). R. J. Turner, A. Ly, P. D. Grünwald, "Generic E-variables for exact sequential
k-sample tests that allow for optional stopping", Journal of Statistical Planning and Inference 230 (2024).

Users come in pairs: the next of the control and the next of the treatment. Before each pair both rates are
estimated from the pairs before, with a Beta(0.18, 0.18) prior (theirs). Where these estimates are worse than
allowed, the pair's factor is its probability under them, by its probability under the nearest rates (in
Kullback-Leibler divergence) of the boundary treatment = control + margin, and 1 where they are not. The
allowed rates are a convex set, so that the factor has a mean of at most 1 under each of them. The product
passes 1/alpha with a probability of at most alpha (Ville), whatever the rates are and whenever one stops: no
asymptotics.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

ITS_SHARE: Final = 0.1
"""The part of a guardrail's alpha that goes to this test; its interval has the rest."""

_PRIOR: Final = 0.18
_STEPS: Final = 40  # of bisection


def broken_e_value(control: Sequence[bool], treatment: Sequence[bool], margin: float) -> float:
    """The largest e-value after any pair against "treatment fails at most `margin` more often".

    Whether each user's first request failed, in the order of their first exposures. `margin` is absolute,
    from 0 to 1. 1 without pairs.
    """
    product = largest = 1.0
    failed = [0, 0]
    for count, pair in enumerate(zip(control, treatment, strict=False)):
        rates, nearest = _rates(count, *failed, margin)
        for yes, rate, other in zip(pair, rates, nearest, strict=True):
            product *= rate / other if yes else (1 - rate) / (1 - other)
        largest = max(largest, product)
        failed = [before + yes for before, yes in zip(failed, pair, strict=True)]
    return largest


@lru_cache(maxsize=20_000)
def _rates(
    pairs: int, control: int, treatment: int, margin: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The rates that so many failures in so many pairs make likely, and the nearest that are allowed."""
    first, second = ((_PRIOR + failed) / (2 * _PRIOR + pairs) for failed in (control, treatment))
    if second <= first + margin:
        return (first, second), (first, second)
    low, high = 0.0, 1 - margin
    for _ in range(_STEPS):
        middle = (low + high) / 2
        rising = (first / middle - (1 - first) / (1 - middle)) + (
            second / (middle + margin) - (1 - second) / max(1 - middle - margin, 1e-300)
        )
        low, high = (middle, high) if rising > 0 else (low, middle)
    return (first, second), (low, low + margin) if low > 0 else (high, high + margin)
