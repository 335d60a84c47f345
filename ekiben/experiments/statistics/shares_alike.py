"""Is a share of users the same in all variants, however often one looks?

What only some users have (a label, an outcome that came late) says something of a version only where the
variants have it alike. The share of each treatment is compared with the control's by the same sequence of
intervals as every effect (`ekiben.experiments.statistics.effects.proportion`; I. Waudby-Smith et al., Annals
of Statistics 52 (2024)), at the level of the sample ratio mismatch test, and Bonferroni over the
comparisons. It needs no split that was asked for: those who matured are given, and among them the share is
compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from ekiben.experiments.statistics.srm import SRM_ALPHA

ALIKE_ALPHA = SRM_ALPHA
"""The probability that shares that are the same are ever called different."""


def alike_p_value(counts: Sequence[tuple[int, int]], tests: int = 1) -> float:
    """An anytime-valid p-value for shares that are the same in all variants.

    `counts` are (those who have it, all users) of each variant, the control first. `tests` is how many such
    comparisons are made beside each other. 1 below `JUDGED_FROM` users in a variant.
    """
    if len(counts) < 2 or min(users for _, users in counts) < JUDGED_FROM:
        return 1.0
    control, *treatments = (effects.proportion(_moments(*each)) for each in counts)
    # The p-value has the same boundary as every interval, so that no alpha enters here.
    found = (effects.effect(control, each, ALIKE_ALPHA).p_value for each in treatments)
    return min(1.0, tests * len(treatments) * min(1.0 if p is None else p for p in found))


def _moments(having: int, users: int) -> Moments:
    return Moments(users, float(having), float(having))
