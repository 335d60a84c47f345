"""The sequential sample ratio mismatch test: is the split what was asked, however often one looks?

M. Lindon, A. Malek, "Anytime-valid inference for multinomial count data" (NeurIPS 2022; first as
arXiv:2011.03567, 2020). The Bayes factor of a Dirichlet(k · shares) against the shares asked is a martingale
that begins at 1 when the shares are right, so the probability that it ever passes 1/alpha is at most alpha
(Ville). Exact: no asymptotics, from the first user on.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log
from typing import Final

from experiments.report import Srm

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
    if any(count and not share for count, share in zip(counts, shares, strict=True)):
        return 0.0
    split = [(count, share / total) for count, share in zip(counts, shares, strict=True) if share]
    evidence = lgamma(CONCENTRATION) - lgamma(CONCENTRATION + sum(counts))
    for count, share in split:
        prior = CONCENTRATION * share
        evidence += lgamma(prior + count) - lgamma(prior) - count * log(share)
    return min(1.0, exp(-evidence)) if evidence > 0 else 1.0


def srm_test(counts: Sequence[int], shares: Sequence[float]) -> Srm:
    """The test as a report has it; a mismatch is a p-value below SRM_ALPHA."""
    p_value = srm_p_value(counts, shares)
    return Srm(p_value=p_value, threshold=SRM_ALPHA, mismatch=p_value < SRM_ALPHA)
