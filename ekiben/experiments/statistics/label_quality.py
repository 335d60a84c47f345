"""How well scores fit the labels, from sums over users: ROC AUC, Brier, log loss, accuracy, calibration.

A user may have several labelled predictions, which are not independent of each other: users are the units.
Only these sums leave the engine.

**Losses** (`Moments`, one term a user): x is the user's sum over the labelled predictions of the loss, y the
number of those predictions; n, x, xx, y, yy and xy as in `moments`. With score p and label l (1
positive, 0 not) the loss of one prediction is

- Brier: (p - l)²
- log loss: -log(p) for a positive, else -log(1 - p), with p first clipped to [1e-15, 1 - 1e-15]
- accuracy: 1 where (p >= 0.5) equals l, else 0

**ROC AUC** (`AucSums`). Of a variant's m positive and n negative predictions, every one has a *placement*:

- a positive's: (negatives with a lower score + half of those with the same score) / n
- a negative's: (positives with a higher score + half of those with the same score) / m

(two window counts over the scores in one sort). Summed for each user k: a_k over the user's positives, b_k
over the negatives, m_k and n_k how many there are; then summed over users as `AucSums` says. Placements
depend on all predictions, so these sums, unlike moments, do not merge over shards or stretches of time.

**Several classes**. With probability p_j of each class j and the true class c the loss of one prediction is

- Brier: the sum over all classes j of (p_j - [j is c])². It lies between 0 and 2, that of a score and a label
  between 0 and 1. Of two classes it is twice that one.
- log loss: -log(p_c), clipped as above
- accuracy: 1 where c has the largest probability (the first of equal ones), else 0

**ROC AUC of several classes** is the mean of each class's area against all others, where its own predictions
are the positives. A user's *influence* on an area A is (a_k - A m_k) / m + (b_k - A n_k) / n, and on the mean
the mean of these. Only the sum of its squares leaves the engine.

**Calibration**: for each bin of scores the number of predictions, the sum of scores, the positives.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, isfinite, sqrt
from typing import Final

import msgspec

from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.labels import CalibrationBin
from ekiben.experiments.statistics.effects import COUNTED_EXTRA, Estimate
from ekiben.experiments.statistics.sequential import UNBOUNDED

LOG_LOSS_CLIP: Final = 1e-15
"""Scores are kept this far from 0 and 1 for the log loss."""


JUDGED_FROM_OF_A_CLASS: Final = 10
"""Users with a positive, and with a negative prediction, in each variant below which no area is judged: with
two positives of 400 users its standard error says nothing yet.
"""


class AucSums(msgspec.Struct, frozen=True):
    """Sums over the users k of one variant who have a labelled prediction."""

    users: int  # with any labelled prediction
    users_positive: int  # with a positive one
    users_negative: int
    m: int  # positive predictions
    n: int  # negative predictions
    a: float  # sum of a_k
    b: float
    aa: float  # sum of a_k²
    bb: float
    ab: float  # sum of a_k · b_k
    am: float  # sum of a_k · m_k
    an: float
    bm: float
    bn: float
    mm: float  # sum of m_k²
    nn: float
    mn: float  # sum of m_k · n_k


def enough_of_each(areas: Sequence[AucSums]) -> bool:
    """Whether there are users enough of each class for the areas to be judged."""
    return all(min(area.users_positive, area.users_negative) >= JUDGED_FROM_OF_A_CLASS for area in areas)


def roc_auc(sums: AucSums) -> Estimate | None:
    """The area under the ROC curve with its standard error over users.

    N. A. Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53 (1997), equations 3
    to 6; with one prediction a user it is E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44
    (1988). None below two users with a positive or two with a negative prediction.
    """
    if sums.users_positive < 2 or sums.users_negative < 2:
        return None
    area = sums.a / sums.m
    # Sums of squares and products around what the area leads one to expect of each user.
    positive = sums.aa - 2 * area * sums.am + area * area * sums.mm
    negative = sums.bb - 2 * area * sums.bn + area * area * sums.nn
    both = sums.ab - area * sums.an - area * sums.bm + area * area * sums.mn
    variance = (
        positive * sums.users_positive / (sums.users_positive - 1) / sums.m**2
        + negative * sums.users_negative / (sums.users_negative - 1) / sums.n**2
        + 2 * both * sums.users / (sums.users - 1) / (sums.m * sums.n)
    )
    return Estimate(area, sqrt(max(variance, 0.0)), sums.users)


def mean_roc_auc(areas: Sequence[AucSums], influence: float) -> Estimate | None:
    """The mean of the areas of several classes, each against the others, with its standard error over users.

    `influence` is the sum over users of the squares of their influence on it. F. Provost and P. Domingos,
    "Well-trained PETs" (CeDER working paper 00-04, 2000), compare each class with the others so; here every
    class has the same weight. The standard error is that of Obuchowski's linearization of each area (see
    `roc_auc`), with U / (U - 1) of U users as its one factor. The areas share their users, so that what one
    user adds to them is added before it is squared. None where a class has fewer than two users with it, or
    without it.
    """
    if any(min(area.users_positive, area.users_negative) < 2 for area in areas):
        return None
    users, value = areas[0].users, sum(area.a / area.m for area in areas) / len(areas)
    return Estimate(value, sqrt(influence * users / (users - 1)), users)


def fixed_interval(
    estimate: Estimate | None, z: float, low: float | None = None, high: float | None = None
) -> Interval:
    """estimate ± z standard errors, kept within [low, high]: a fixed-sample interval.

    `z` is the normal quantile, `NormalDist().inv_cdf(1 - alpha / 2)`. A share's variance counts
    COUNTED_EXTRA more users, as its effect's does. Both ends None where the standard error is 0 or there is
    no estimate.
    """
    if estimate is None or not isfinite(estimate.value):
        return UNBOUNDED
    std_error = hypot(estimate.std_error, sqrt(estimate.share * COUNTED_EXTRA) / max(estimate.users, 1))
    if not std_error > 0:
        return UNBOUNDED
    lower, upper = estimate.value - z * std_error, estimate.value + z * std_error
    return Interval(
        low=lower if low is None else max(lower, low), high=upper if high is None else min(upper, high)
    )


def wilson_interval(successes: float, trials: int, z: float) -> Interval:
    """E. B. Wilson's interval for a share (JASA 22, 1927); both ends None without trials."""
    if trials <= 0:
        return UNBOUNDED
    share, zz = successes / trials, z * z
    middle = (share + zz / (2 * trials)) / (1 + zz / trials)
    width = z * sqrt(share * (1 - share) / trials + zz / (4 * trials * trials)) / (1 + zz / trials)
    return Interval(low=max(middle - width, 0.0), high=min(middle + width, 1.0))


def calibration_bin(
    low: float, high: float, count: int, scores: float, positives: int, z: float
) -> CalibrationBin | None:
    """The bin of scores in [low, high) from its count, the sum of its scores and its positives.

    The interval is Wilson's for predictions, not users: a reading aid. None for an empty bin.
    """
    if count <= 0:
        return None
    return CalibrationBin(
        low=low,
        high=high,
        count=count,
        mean_score=scores / count,
        positive_rate=positives / count,
        interval=wilson_interval(positives, count, z),
    )
