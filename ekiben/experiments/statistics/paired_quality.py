"""Two versions on the same labelled predictions: the difference of a measure, and how surely it is known.

Both scores of a prediction have one label, so that what makes a prediction hard is in both, and cancels. The
difference is known from far fewer users than that of two variants with other users (docs/statistics.md).

**ROC AUC.** The areas of two versions on the same predictions have the same numbers of positives and
negatives, and each area is a sum over users (E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44
(1988); of clustered data N. A. Obuchowski, Biometrics 53 (1997)). So with the differences of the versions'
placements in the place of placements, summed for each user, `label_quality.roc_auc` gives the difference of
the areas and its standard error: the covariance of both versions is inside. The same holds of several
classes.

**Losses.** x is the user's sum over predictions of the difference of the two losses, y how many predictions
the user has: the ratio's standard error is the delta method's (A. Deng, U. Knoblich, J. Lu, KDD 2018).

The intervals are those of `sequential`: one estimate of so many users, valid at every look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.metric import State
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.label_quality import AucSums, mean_roc_auc, roc_auc
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import (
    JUDGED_FROM,
    UNBOUNDED,
    confidence_sequence,
    sequential_p_value,
)

EACH_FROM: Final = 10
"""Users with a positive, and users with a negative prediction, below which no area is compared."""


def area_difference(areas: Sequence[AucSums], influence: float | None = None) -> Estimate | None:
    """The difference of the ROC AUCs of two versions, from `AucSums` whose placements are differences.

    With several classes `areas` has one for each, and `influence` is the sum over users of the squares of
    their influence on the mean difference. None below `EACH_FROM` users with and without a class.
    """
    if any(min(each.users_positive, each.users_negative) < EACH_FROM for each in areas):
        return None
    return roc_auc(*areas) if influence is None else mean_roc_auc(areas, influence)


def loss_difference(moments: Moments) -> Estimate | None:
    """The mean difference of a loss over predictions, from moments whose x are differences."""
    return effects.ratio(moments)


def paired_interval(difference: Estimate | None, alpha: float) -> Interval:
    """The interval of the difference that holds at every look; no ends below `JUDGED_FROM` users."""
    if difference is None or difference.users < JUDGED_FROM:
        return UNBOUNDED
    return confidence_sequence(difference.value, difference.std_error, difference.users, alpha)


def paired_p_value(difference: Estimate | None) -> float | None:
    """The anytime-valid p-value of the difference."""
    if difference is None or difference.users < JUDGED_FROM:
        return None
    return sequential_p_value(difference.value, difference.std_error, difference.users)


def paired_state(difference: Estimate | None, better: str, alpha: float) -> State:
    """Better, worse or unclear on the same predictions; no data below `JUDGED_FROM` users with a label."""
    if difference is None or difference.users < JUDGED_FROM:
        return State.NO_DATA
    interval = paired_interval(difference, alpha)
    higher = interval.low is not None and interval.low > 0
    lower = interval.high is not None and interval.high < 0
    if not higher and not lower:
        return State.UNCLEAR
    return State.BETTER if higher == (better == "higher") else State.WORSE
