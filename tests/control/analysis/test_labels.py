"""Ground truth beside scores, against sums taken one prediction at a time."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from ekiben.experiments.reports.labels import LabelQuality
from ekiben.experiments.reports.report import Report
from tests.control.analysis.events import DAY, HOUR, Log, in_variant, left_out, metric, metric_of, stored

TRUTH = metric("good", "label", window_hours=48)


def quality(report: Report, variant: str = "control") -> LabelQuality:
    return next(each for each in metric_of(report, "good").labels if each.variant == variant)


def labelled(
    log: Log, user: str, score: float | None, label: float, variant: str = "control", **columns: object
) -> None:
    """A prediction and its label an hour later."""
    log.outcome(label, at=HOUR, name="good", prediction=log.exposure(user, variant, score=score, **columns))


class Predictions:
    """Labelled predictions of 400 users, one to four each, with ties among the scores."""

    def __init__(self, log: Log) -> None:
        rng = np.random.default_rng(3)
        rows = []
        for user, variant in product(range(200), ("control", "treatment")):
            leaning = rng.normal(0, 1)
            for _ in range(rng.integers(1, 5)):
                score = round(float(1 / (1 + math.exp(-leaning - rng.normal(0, 1)))), 2)
                noise = 0.4 if variant == "control" else 0.2
                label = float(rng.random() < (1 - noise) * score + noise / 2)
                labelled(log, f"{variant}-{user}", score, label, variant)
                rows.append((variant, user, score, label))
        self.rows = rows

    def of(self, variant: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, scores and labels."""
        chosen = np.array([row[1:] for row in self.rows if row[0] == variant])
        return chosen[:, 0], chosen[:, 1], chosen[:, 2]


@pytest.fixture
def predictions(log: Log) -> Predictions:
    return Predictions(log)


def test_every_measure_is_scikit_learns(log: Log, predictions: Predictions) -> None:
    report = log.report(stored(TRUTH))
    for variant in ("control", "treatment"):
        _, scores, labels = predictions.of(variant)
        found = quality(report, variant)
        assert (found.labels, found.positives) == (len(labels), labels.sum())
        assert found.roc_auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert found.brier == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)
        clipped = np.clip(scores, 1e-15, 1 - 1e-15)
        assert found.log_loss == pytest.approx(log_loss(labels, clipped), abs=1e-9)
        assert found.accuracy == pytest.approx(((scores >= 0.5) == (labels == 1)).mean())
        assert found.roc_auc_interval.low < found.roc_auc < found.roc_auc_interval.high
        assert found.model_versions == (f"credit_{'v1' if variant == 'control' else 'v2'}:1",)


def test_the_error_of_a_measure_is_over_users_who_have_several_predictions(
    log: Log, predictions: Predictions
) -> None:
    users, scores, labels = predictions.of("control")
    losses = np.bincount(users.astype(int), (scores - labels) ** 2)
    counts = np.bincount(users.astype(int))
    mean = losses.sum() / counts.sum()
    std_error = (losses - mean * counts).std(ddof=1) / counts.mean() / math.sqrt(len(counts))
    interval = quality(log.report(stored(TRUTH))).brier_interval
    assert interval.high - interval.low == pytest.approx(2 * 1.959963984540054 * std_error)


def test_the_error_of_the_auc_is_that_of_placements_summed_over_users(
    log: Log, predictions: Predictions
) -> None:
    users, scores, labels = predictions.of("control")
    positive, negative = scores[labels == 1], scores[labels == 0]
    place = np.where(
        labels == 1,
        [((negative < s).sum() + (negative == s).sum() / 2) / len(negative) for s in scores],
        [((positive > s).sum() + (positive == s).sum() / 2) / len(positive) for s in scores],
    )
    area = place[labels == 1].mean()
    terms = np.zeros((2, 200))
    for row, (label, size) in enumerate(((1, len(positive)), (0, len(negative)))):
        chosen = labels == label
        np.add.at(terms[row], users[chosen].astype(int), (place[chosen] - area) / size)
    with_label = [len(np.unique(users[labels == label])) for label in (1, 0)]
    both = len(np.unique(users))
    variance = (
        (terms[0] ** 2).sum() * with_label[0] / (with_label[0] - 1)
        + (terms[1] ** 2).sum() * with_label[1] / (with_label[1] - 1)
        + 2 * (terms[0] * terms[1]).sum() * both / (both - 1)
    )
    interval = quality(log.report(stored(TRUTH))).roc_auc_interval
    assert interval.high - interval.low == pytest.approx(2 * 1.959963984540054 * math.sqrt(variance))


def test_the_measure_that_is_asked_for_is_compared(log: Log, predictions: Predictions) -> None:
    report = log.report(stored(TRUTH | {"measure": "accuracy"}))
    effect = metric_of(report, "good").effects["treatment"]
    difference = quality(report, "treatment").accuracy - quality(report).accuracy
    assert effect.absolute == pytest.approx(difference)
    assert in_variant(report, "good").users == 200


def test_calibration_says_how_often_each_score_was_right(log: Log) -> None:
    for number in range(10):
        labelled(log, f"low-{number}", 0.05, float(number == 0))
        labelled(log, f"high-{number}", 1.0, float(number != 0))
    low, high = quality(log.report(stored(TRUTH))).calibration
    assert (low.low, low.high, low.count, low.mean_score, low.positive_rate) == (
        0,
        0.1,
        10,
        pytest.approx(0.05),
        0.1,
    )
    assert (high.low, high.high, high.count, high.positive_rate) == (0.9, 1, 10, 0.9)
    assert 0 < low.interval.low < 0.1 < low.interval.high


def test_labels_that_do_not_count_are_told_apart(log: Log) -> None:
    labelled(log, "u1", 0.5, 1)
    labelled(log, "u2", 0.5, 0.5)
    labelled(log, "u3", 0.5, 1, result="fallback", version="v1")
    labelled(log, "u4", None, 1, result="error")
    log.outcome(1, at=2 * DAY, name="good", prediction=log.exposure("u5"))
    log.outcome(1, at=HOUR, name="good", user="u1")
    report = log.report(stored(TRUTH))
    assert quality(report).labels == 1
    assert left_out(report, "outcomes") == {"not_binary": 1, "late": 1, "unscored": 2, "label_of_user": 1}


def test_a_label_waits_for_its_users_window(log: Log) -> None:
    labelled(log, "u1", 0.5, 1)
    assert quality(log.report(stored(TRUTH), now=2 * DAY - 1)).labels == 0
    assert quality(log.report(stored(TRUTH), now=2 * DAY)).labels == 1


def test_of_two_labels_of_a_prediction_the_first_received_counts(log: Log) -> None:
    prediction = log.exposure("u1")
    log.outcome(1, at=HOUR, name="good", prediction=prediction, received_at=9.0)
    log.outcome(0, at=2 * HOUR, name="good", prediction=prediction, received_at=5.0)
    found = quality(log.report(stored(TRUTH)))
    assert (found.labels, found.positives) == (1, 0)


def test_labels_of_one_class_only_have_no_auc(log: Log) -> None:
    for number in range(3):
        labelled(log, f"u{number}", 0.7, 1)
    found = quality(log.report(stored(TRUTH)))
    assert (found.roc_auc, found.accuracy) == (None, 1)


def test_an_absurd_score_does_not_end_the_report(log: Log) -> None:
    for number in range(120):
        labelled(log, f"c{number}", 0.3, number % 2)
        labelled(log, f"t{number}", 1e100, number % 2, "treatment")
    treatment = quality(log.report(stored(TRUTH)), "treatment")
    assert (treatment.labels, treatment.brier, treatment.roc_auc) == (120, 0.5, 0.5)
