"""The sequential sample ratio mismatch test: is the split what was asked, however often one looks?

M. Lindon, A. Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022; first as
arXiv:2011.03567, 2020). The Bayes factor of a Dirichlet(k · shares) against the shares asked is a martingale
that begins at 1 when the shares are right, so the probability that it ever passes 1/alpha is at most alpha
(Ville). Exact: no asymptotics, from the first user on.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import exp, inf, lgamma, log
from typing import Final

from ekiben.experiments.reports.srm import Srm

SRM_ALPHA: Final = 0.001
"""The probability that a fair split is ever called a mismatch."""

CONCENTRATION: Final = 1000.0
"""k: how near the shares asked a mismatch is expected to lie (about ± 1.6 percentage points at 50/50)."""


def srm_p_value(counts: Sequence[int], shares: Sequence[float]) -> float:
    """An anytime-valid p-value for `counts` users against the `shares` asked for, in the same order.

    Shares are at least 0 and need not make 1. A user in a variant with a share of 0 gives 0. Raises
    ValueError when the lengths differ or no share is above 0.
    """
    total = sum(shares)
    if len(counts) != len(shares) or not total > 0 or min(shares) < 0:
        raise ValueError("as many shares as counts, none below 0 and one above, make a split")
    evidence = _evidence(counts, _normal(shares))
    return exp(-evidence) if evidence > 0 else 1.0


def mixed_p_value(counts: Sequence[int], splits: Sequence[Sequence[float]]) -> float:
    """The largest p-value against any of these splits or a mixture of two of them: a valid p-value where the
    users came under the one split and then under the other, in whatever proportion.
    """
    distinct = [split for place, split in enumerate(splits) if split not in splits[:place]]
    found = max(srm_p_value(counts, split) for split in distinct)
    for first, second in combinations(distinct, 2):
        low, high = 0.0, 1.0
        for _ in range(60):  # the evidence has one minimum along the line between them
            near, far = low + (high - low) / 3, high - (high - low) / 3
            if _evidence(counts, _mixture(first, second, near)) < _evidence(
                counts, _mixture(first, second, far)
            ):
                high = far
            else:
                low = near
        found = max(found, srm_p_value(counts, _mixture(first, second, (low + high) / 2)))
    return found


def srm_test(counts: Sequence[int], *splits: Sequence[float]) -> Srm:
    """The test as a report has it, against the splits that were asked for one after the other.

    A mismatch is a p-value below SRM_ALPHA.
    """
    p_value = mixed_p_value(counts, [_normal(split) for split in splits])
    return Srm(p_value=p_value, threshold=SRM_ALPHA, mismatch=p_value < SRM_ALPHA)


def _normal(split: Sequence[float]) -> tuple[float, ...]:
    total = sum(split)
    return tuple(share / total for share in split)


def _mixture(first: Sequence[float], second: Sequence[float], part: float) -> list[float]:
    return [(1 - part) * one + part * two for one, two in zip(first, second, strict=True)]


def _evidence(counts: Sequence[int], shares: Sequence[float]) -> float:
    """The logarithm of the Bayes factor against `shares`, which make 1; infinite where it is certain."""
    if any(count and not share for count, share in zip(counts, shares, strict=True)):
        return inf
    evidence = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        if share:
            prior = CONCENTRATION * share
            evidence += lgamma(prior + count) - lgamma(prior) - count * log(share)
    return evidence
