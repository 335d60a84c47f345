"""Label quality: its intervals, and two equal ROC AUCs under peeking; several predictions a user."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ekiben.experiments.judging.states import metric_state
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate, effect
from ekiben.experiments.statistics.label_quality import fixed_interval, mean_roc_auc, roc_auc
from tests.proofs.statistics.labelled import (
    Bools,
    Floats,
    Ints,
    auc_sums,
    class_sums,
    loss_moments,
    simulate,
    simulate_classes,
)
from tests.proofs.statistics.peeking import ALPHA, misses

_CLASSES = "ROC AUC of three classes"
_MEASURES = ("brier", "log_loss", "accuracy")


@dataclass(frozen=True)
class LabelsSeen:
    """Shares of experiments."""

    experiments: int
    peeked: int
    covered: dict[str, float]
    unclustered: float
    false_alarms: float
    classes_unclustered: float


def look_at_labels(seed: int, experiments: int = 1000, peeked: int = 300, looks: int = 40) -> LabelsSeen:
    rng = np.random.default_rng((seed, 1))
    truth = _values(*simulate(rng, 400_000))
    z = NormalDist().inv_cdf(1 - ALPHA / 2)
    covered = dict.fromkeys(truth, 0)
    unclustered = 0
    for _ in range(experiments):
        scores, labels, user = simulate(rng, 1000)
        for measure, estimate in _values(scores, labels, user).items():
            covered[measure] += not misses(fixed_interval(estimate, z, 0.0, None), truth[measure].value)
        ignoring = roc_auc(auc_sums(scores, labels, np.arange(len(scores))))
        unclustered += not misses(fixed_interval(ignoring, z), truth["ROC AUC"].value)
    alarms = sum(_alarm(rng, looks) for _ in range(peeked))
    classes, apart = look_at_classes(seed, experiments)
    return LabelsSeen(
        experiments,
        peeked,
        {measure: count / experiments for measure, count in covered.items()} | {_CLASSES: classes},
        unclustered / experiments,
        alarms / peeked,
        apart,
    )


def look_at_classes(
    seed: int, experiments: int, users: int = 1000, everybody: int = 400_000
) -> tuple[float, float]:
    """The share of experiments in which the interval of the mean area of three classes holds the true one,
    and in which it would, were predictions taken for users.
    """
    rng = np.random.default_rng((seed, 2))
    truth = mean_roc_auc(*class_sums(*simulate_classes(rng, everybody)))
    assert truth is not None
    z = NormalDist().inv_cdf(1 - ALPHA / 2)
    covered = np.zeros(2)
    for _ in range(experiments):
        scores, labels, user = simulate_classes(rng, users)
        for place, unit in enumerate((user, np.arange(len(user)))):
            interval = fixed_interval(mean_roc_auc(*class_sums(scores, labels, unit)), z, 0.0, 1.0)
            covered[place] += not misses(interval, truth.value)
    return float(covered[0] / experiments), float(covered[1] / experiments)


def _values(scores: Floats, labels: Bools, user: Ints) -> dict[str, Estimate]:
    found = {"ROC AUC": roc_auc(auc_sums(scores, labels, user))}
    for measure in _MEASURES:
        found[measure.replace("_", " ")] = effects.ratio(loss_moments(measure, scores, labels, user))
    return {measure: estimate for measure, estimate in found.items() if estimate is not None}


def _alarm(rng: np.random.Generator, looks: int) -> bool:
    """Whether two versions of the same quality are ever told apart; each look sees the users so far."""
    users = 100 * looks
    control, treatment = simulate(rng, users // 2), simulate(rng, users // 2)
    for look in range(2, looks + 1):
        so_far = look * users // (2 * looks)
        areas = []
        for scores, labels, user in (control, treatment):
            until = int(np.searchsorted(user, so_far))
            areas.append(roc_auc(auc_sums(scores[:until], labels[:until], user[:until])))
        known = effect(areas[0], areas[1], ALPHA)
        state = metric_state(Role.DECIDES, "higher", known, None, None, so_far)
        if state in (State.BETTER, State.WORSE):
            return True
    return False
