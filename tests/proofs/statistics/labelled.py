"""Labelled predictions: the sums that an engine would deliver, computed from rows, and a slow DeLong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ekiben.experiments.statistics.label_quality import LOG_LOSS_CLIP, AucSums
from ekiben.experiments.statistics.moments import Moments
from tests.proofs.statistics.populations import Bools, Floats

Ints = npt.NDArray[np.int64]


def simulate(
    rng: np.random.Generator, users: int, separation: float = 1.0, taste: float = 0.7
) -> tuple[Floats, Bools, Ints]:
    """Scores, labels and users of predictions: 1 to 5 a user, alike in labels and (by `taste`) in scores."""
    user = np.repeat(np.arange(users), rng.integers(1, 6, users))
    own = rng.normal(0, taste, users)[user]
    labels = rng.random(len(user)) < 1 / (1 + np.exp(1 - rng.normal(0, 3, users)[user]))
    raw = rng.normal(0, 1, len(user)) + separation * labels + own
    return 1 / (1 + np.exp(-raw)), labels, user


def simulate_classes(
    rng: np.random.Generator, users: int, classes: int = 3, separation: float = 1.0, taste: float = 0.7
) -> tuple[Floats, Ints, Ints]:
    """Probabilities of each class, true classes and users of predictions, as `simulate`."""
    user = np.repeat(np.arange(users), rng.integers(1, 6, users))
    own = rng.normal(0, taste, (users, classes))[user]
    leaning = rng.normal(0, 2, (users, classes))[user] - np.arange(classes)  # the last class is rare
    labels = (leaning + rng.gumbel(size=leaning.shape)).argmax(1)
    raw = np.exp(rng.normal(0, 1, leaning.shape) + separation * np.eye(classes)[labels] + own)
    return raw / raw.sum(1, keepdims=True), labels, user


def placements(scores: Floats, labels: Bools) -> Floats:
    """Each prediction's placement among those of the other label."""
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    below = np.searchsorted(negative, scores, "left") + np.searchsorted(negative, scores, "right")
    above = np.searchsorted(positive, scores, "left") + np.searchsorted(positive, scores, "right")
    return np.where(labels, below / 2 / max(len(negative), 1), 1 - above / 2 / max(len(positive), 1))


def auc_sums(scores: Floats, labels: Bools, user: Ints) -> AucSums:
    """The sums of `ekiben.experiments.statistics.label_quality`."""
    _, index = np.unique(user, return_inverse=True)
    placed = placements(scores, labels)
    a = np.bincount(index, placed * labels)
    b = np.bincount(index, placed * ~labels)
    m = np.bincount(index, labels.astype(float))
    n = np.bincount(index, (~labels).astype(float))
    return AucSums(
        users=len(a),
        users_positive=int((m > 0).sum()),
        users_negative=int((n > 0).sum()),
        m=int(m.sum()),
        n=int(n.sum()),
        **{
            name: float(value.sum())
            for name, value in {
                "a": a, "b": b, "aa": a * a, "bb": b * b, "ab": a * b, "am": a * m, "an": a * n,
                "bm": b * m, "bn": b * n, "mm": m * m, "nn": n * n, "mn": m * n,
            }.items()
        },
    )  # fmt: skip


def class_sums(scores: Floats, labels: Ints, user: Ints) -> tuple[tuple[AucSums, ...], float]:
    """The sums of each class's area, and that of the squares of users' influence on their mean."""
    _, index = np.unique(user, return_inverse=True)
    areas, influence = [], np.zeros(index.max() + 1)
    for place, score in enumerate(scores.T):
        positive = labels == place
        sums = auc_sums(score, positive, user)
        left = (placements(score, positive) - sums.a / sums.m) / np.where(positive, sums.m, sums.n)
        influence += np.bincount(index, left) / scores.shape[1]
        areas.append(sums)
    return tuple(areas), float((influence**2).sum())


def loss_moments(measure: str, scores: Floats, labels: Bools, user: Ints) -> Moments:
    """The moments of a loss: one term a user."""
    clipped = np.clip(scores, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    loss = {
        "brier": (scores - labels) ** 2,
        "log_loss": -np.log(np.where(labels, clipped, 1 - clipped)),
        "accuracy": ((scores >= 0.5) == labels).astype(float),
    }[measure]
    _, index = np.unique(user, return_inverse=True)
    x, y = np.bincount(index, loss), np.bincount(index).astype(float)
    sums = (x.sum(), (x * x).sum(), y.sum(), (y * y).sum(), (x * y).sum())
    return Moments(len(x), *map(float, sums))


def delong_variance(positive: Floats, negative: Floats) -> float:
    """DeLong, DeLong and Clarke-Pearson 1988, from all pairs."""
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    by_positive, by_negative = wins.mean(1), wins.mean(0)
    return float(by_positive.var(ddof=1) / len(positive) + by_negative.var(ddof=1) / len(negative))
