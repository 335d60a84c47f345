"""Too little to be judged: areas with few positives, and ratios of which a few users have most."""

from __future__ import annotations

import numpy as np

from ekiben.experiments.kinds.table import DECLARED
from ekiben.experiments.statistics.effects import effect, ratio
from ekiben.experiments.statistics.label_quality import enough_of_each, roc_auc
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from tests.proofs.statistics.counted import Counted
from tests.proofs.statistics.labelled import auc_sums
from tests.proofs.statistics.peeking import ALPHA, misses

_POSITIVES = 0.005
_LOOKS = 25


def look_at_doubts(seed: int, experiments: int = 1000) -> list[Counted]:
    rng = np.random.default_rng((seed, 12))
    areas = np.array([_area(rng) for _ in range(experiments)]).mean(0)
    ratios = np.array([_ratio(rng) for _ in range(experiments)]).mean(0)
    return [
        Counted("area, 0.5 % positives: interval misses 0 at any look", float(areas[0]), ALPHA, experiments),
        Counted("the same, were it judged from 2 positives on", float(areas[1]), None, experiments),
        Counted("ratio, Pareto denominators: the same", float(ratios[0]), ALPHA, experiments),
        Counted("the same, were it judged whatever the shares", float(ratios[1]), None, experiments),
    ]


def _area(rng: np.random.Generator, users: int = 10_000) -> tuple[bool, bool]:
    """One labelled prediction of each user; scores fit equally well in both variants."""
    variants = []
    for _ in range(2):
        labels = rng.random(users // 2) < _POSITIVES
        variants.append((rng.normal(0, 1, users // 2) + labels, labels))
    judged = whatever = False
    for look in range(1, _LOOKS + 1):
        until = look * users // 2 // _LOOKS
        sums = [auc_sums(scores[:until], labels[:until], np.arange(until)) for scores, labels in variants]
        wrong = misses(effect(*map(roc_auc, sums), ALPHA).interval, 0.0)
        whatever |= wrong
        judged |= wrong and enough_of_each(sums)
    return judged, whatever


def _ratio(rng: np.random.Generator, users: int = 10_000) -> tuple[bool, bool]:
    """Denominators with an infinite variance; a user's own ratio has the same mean everywhere."""
    shape = (2, _LOOKS, users // 2 // _LOOKS)
    y = (1 + rng.pareto(1.1, shape)).round()
    x = rng.binomial(y.astype(np.int64), rng.beta(2, 18, shape)).astype(float)
    sums = np.stack([np.ones(shape), x, x * x, y, y * y, x * y]).sum(3).cumsum(2)
    judged = whatever = False
    for look in range(_LOOKS):
        pair = [Moments(int(n), *rest) for n, *rest in sums[:, :, look].T.tolist()]
        if pair[0].n >= JUDGED_FROM:
            wrong = misses(effect(*map(ratio, pair), ALPHA).interval, 0.0)
            whatever |= wrong
            judged |= wrong and not any(map(DECLARED["ratio"].is_dominated, pair))
    return judged, whatever
