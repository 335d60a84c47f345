"""Labels of several classes: through event files to a report, against scikit-learn and sums by hand."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from ekiben.experiments.judging.wording import doubts
from ekiben.experiments.reports.labels import LabelQuality
from ekiben.experiments.reports.report import Report
from tests.control.analysis.events import (
    DAY,
    HOUR,
    START,
    Log,
    in_variant,
    left_out,
    metric,
    metric_of,
    stored,
)

CLASSES = ["negative", "neutral", "positive"]
MOOD = metric("mood", "label", window_hours=48, classes=CLASSES)
Z = 1.959963984540054


def quality(report: Report, variant: str = "control", name: str = "mood") -> LabelQuality:
    return next(each for each in metric_of(report, name).labels if each.variant == variant)


def labelled(
    log: Log, user: str, scores: object, label: float, variant: str = "control", **columns: object
) -> None:
    """A prediction of probabilities and what was true an hour later."""
    prediction = log.exposure(user, variant, score=None, scores=scores, **columns)
    log.outcome(label, at=HOUR, name="mood", prediction=prediction)


class Predictions:
    """Labelled predictions of 300 users, one to four each and alike, with ties among the scores."""

    def __init__(self, log: Log) -> None:
        rng = np.random.default_rng(5)
        self._rows = []
        for user, variant in product(range(150), ("control", "treatment")):
            leaning = rng.normal(0, 1, 3)
            for _ in range(rng.integers(1, 5)):
                raw = np.exp(leaning + rng.normal(0, 0.8, 3))
                scores = (raw / raw.sum()).astype("f4").round(2)
                scores[2] = 1 - scores[0] - scores[1]
                sharper = scores.astype("f8").clip(0) ** (1 if variant == "control" else 2)
                label = int(rng.choice(3, p=sharper / sharper.sum()))
                labelled(log, f"{variant}-{user}", scores.tolist(), label, variant)
                self._rows.append((variant, user, scores.astype("f8"), label))

    def of(self, variant: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, scores (one row a prediction) and the true classes."""
        chosen = [row[1:] for row in self._rows if row[0] == variant]
        users, scores, labels = zip(*chosen, strict=True)
        return np.array(users), np.array(scores), np.array(labels)


@pytest.fixture
def predictions(log: Log) -> Predictions:
    return Predictions(log)


def test_every_measure_is_scikit_learns(log: Log, predictions: Predictions) -> None:
    report = log.report(stored(MOOD))
    for variant in ("control", "treatment"):
        users, scores, labels = predictions.of(variant)
        found = quality(report, variant)
        truth = np.eye(3)[labels]
        assert (found.labels, found.positives) == (len(labels), None)
        assert in_variant(report, "mood", variant).users == len(set(users)) == 150
        expected = roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert found.roc_auc == pytest.approx(expected, abs=1e-12)
        assert found.brier == pytest.approx(((scores.clip(0, 1) - truth) ** 2).sum(1).mean(), abs=1e-12)
        clipped = scores.clip(1e-15, 1 - 1e-15)
        assert found.log_loss == pytest.approx(-np.log(clipped[truth == 1]).mean(), abs=1e-12)
        shares = clipped / clipped.sum(1, keepdims=True)
        assert found.log_loss == pytest.approx(log_loss(labels, shares), abs=1e-6)
        assert found.accuracy == pytest.approx(accuracy_score(labels, scores.argmax(1)), abs=1e-12)
        assert found.roc_auc_interval.low < found.roc_auc < found.roc_auc_interval.high
        assert [each.name for each in found.classes] == CLASSES
        for place, each in enumerate(found.classes):
            assert each.labels == (labels == place).sum()
            assert each.roc_auc == pytest.approx(roc_auc_score(labels == place, scores[:, place]), abs=1e-12)
            assert each.roc_auc_interval.low < each.roc_auc < each.roc_auc_interval.high
    assert quality(report, "treatment").roc_auc > quality(report).roc_auc + 0.05


def test_the_error_of_a_loss_is_over_users_who_have_several_predictions(
    log: Log, predictions: Predictions
) -> None:
    users, scores, labels = predictions.of("control")
    losses = np.bincount(users, ((scores.clip(0, 1) - np.eye(3)[labels]) ** 2).sum(1))
    counts = np.bincount(users)
    mean = losses.sum() / counts.sum()
    std_error = (losses - mean * counts).std(ddof=1) / counts.mean() / math.sqrt(len(counts))
    interval = quality(log.report(stored(MOOD))).brier_interval
    assert interval.high - interval.low == pytest.approx(2 * Z * std_error)


def test_the_error_of_the_auc_adds_what_one_user_does_to_every_class(
    log: Log, predictions: Predictions
) -> None:
    users, scores, labels = predictions.of("control")
    influence = np.zeros(150)
    for place in range(3):
        score, is_it = scores[:, place], labels == place
        wins = (score[is_it][:, None] > score[~is_it]) + 0.5 * (score[is_it][:, None] == score[~is_it])
        area = wins.mean()
        np.add.at(influence, users[is_it], (wins.mean(1) - area) / is_it.sum() / 3)
        np.add.at(influence, users[~is_it], (wins.mean(0) - area) / (~is_it).sum() / 3)
    std_error = math.sqrt((influence**2).sum() * 150 / 149)
    interval = quality(log.report(stored(MOOD))).roc_auc_interval
    assert interval.high - interval.low == pytest.approx(2 * Z * std_error)


def test_two_classes_are_a_score_and_a_label_but_for_the_small_samples_factor(log: Log) -> None:
    rng = np.random.default_rng(8)
    for user in range(200):
        leaning = rng.normal(0, 1)
        for _ in range(3):
            score = round(64 / (1 + math.exp(-leaning - rng.normal(0, 1)))) / 64  # exact in 32 bits
            label = float(rng.random() < score)
            prediction = log.exposure(f"u{user}", score=score, scores=[1 - score, score])
            for name in ("good", "mood"):
                log.outcome(label, at=HOUR, name=name, prediction=prediction)
    two = MOOD | {"classes": ["bad", "good"]}
    report = log.report(stored(metric("good", "label", window_hours=48), two))
    one, both = quality(report, name="good"), quality(report)
    assert both.roc_auc == pytest.approx(one.roc_auc, abs=1e-12)
    assert [each.roc_auc for each in both.classes] == pytest.approx([one.roc_auc] * 2, abs=1e-12)
    assert both.brier == pytest.approx(2 * one.brier, abs=1e-12)
    assert both.log_loss == pytest.approx(one.log_loss, abs=1e-9)
    widths = [each.roc_auc_interval.high - each.roc_auc_interval.low for each in (one, both)]
    assert widths[1] == pytest.approx(widths[0], rel=1e-2)


def test_the_measure_that_is_asked_for_is_compared(log: Log, predictions: Predictions) -> None:
    report = log.report(stored(MOOD | {"measure": "log_loss", "better": "lower"}))
    difference = quality(report, "treatment").log_loss - quality(report).log_loss
    assert metric_of(report, "mood").effects["treatment"].absolute == pytest.approx(difference)


def test_calibration_is_of_the_most_probable_class(log: Log) -> None:
    for number in range(10):
        labelled(log, f"sure-{number}", [0.03, 0.95, 0.02], 1 if number else 0)
        labelled(log, f"not-{number}", [0.42, 0.38, 0.2], number % 2)
    less, more = quality(log.report(stored(MOOD))).calibration
    assert (less.low, less.count, less.mean_score, less.positive_rate) == (
        0.4,
        10,
        pytest.approx(0.42, abs=1e-7),
        0.5,
    )
    assert (more.low, more.count, more.positive_rate) == (0.9, 10, 0.9)


def test_of_equally_probable_classes_the_first_is_the_answer(log: Log) -> None:
    for label in (0, 1, 1, 2):
        labelled(log, f"u{label}", [0.25, 0.375, 0.375], label, decision=None)
    assert quality(log.report(stored(MOOD))).accuracy == 0.5


def test_labels_that_do_not_count_are_told_apart(log: Log) -> None:
    labelled(log, "u1", [0.2, 0.3, 0.5], 2)
    labelled(log, "u2", [0.2, 0.3, 0.5], 3)
    labelled(log, "u3", [0.2, 0.3, 0.5], 0.5)
    labelled(log, "u4", [0.4, 0.6], 1)
    labelled(log, "u5", [0.1, 0.2, 0.3, 0.4], 1)
    labelled(log, "u6", None, 1)
    labelled(log, "u7", [0.2, 0.3, 0.5], 1, result="fallback", version="v1")
    log.outcome(1, at=HOUR, name="mood", user="u1")
    report = log.report(stored(MOOD))
    assert quality(report).labels == 1
    assert report.outcomes.counted == 1
    assert left_out(report, "outcomes") == {
        "no_class": 2,
        "other_classes": 2,
        "unscored": 2,
        "label_of_user": 1,
    }


def test_a_label_without_classes_says_where_several_scores_are_named(log: Log) -> None:
    labelled(log, "u1", [0.2, 0.3, 0.5], 1)
    (line,) = log.report(stored(metric("mood", "label", window_hours=48))).left_out
    assert (line.code, line.count) == ("unscored", 1)
    assert line.advice.endswith("or the classes of several scores in the metric.")


def test_of_two_labels_of_a_prediction_the_first_received_counts(log: Log) -> None:
    prediction = log.exposure("u1", score=None, scores=[0.2, 0.3, 0.5])
    log.outcome(1, at=HOUR, name="mood", prediction=prediction, received_at=START + 9)
    log.outcome(2, at=2 * HOUR, name="mood", prediction=prediction, received_at=START + 5)
    labelled(log, "u2", None, 0)  # cannot count, and is not lost on the way
    report = log.report(stored(MOOD))
    assert [each.labels for each in quality(report).classes] == [0, 0, 1]
    assert left_out(report, "outcomes") == {"label_repeated": 1, "unscored": 1}


def test_a_class_that_fewer_than_two_users_have_leaves_no_mean_area(log: Log) -> None:
    for number in range(12):
        labelled(log, f"u{number}", [0.2 + number / 100, 0.3, 0.5 - number / 100], number % 2)
    labelled(log, "u0", [0.1, 0.2, 0.7], 2)
    found = quality(log.report(stored(MOOD)))
    assert (found.roc_auc, found.roc_auc_interval.low, found.labels) == (None, None, 13)
    assert [each.roc_auc is None for each in found.classes] == [False, False, True]
    labelled(log, "u1", [0.1, 0.2, 0.7], 2)
    assert quality(log.report(stored(MOOD))).roc_auc is not None


def test_without_labels_every_class_is_listed_with_none(log: Log) -> None:
    log.exposure("u1", score=None, scores=[0.2, 0.3, 0.5])
    found = quality(log.report(stored(MOOD), now=DAY))
    assert (found.labels, found.roc_auc, found.brier) == (0, None, None)
    assert [(each.name, each.labels, each.roc_auc) for each in found.classes] == [
        (name, 0, None) for name in CLASSES
    ]


def test_scores_in_the_order_of_sorted_names_are_noticed_by_the_decisions(log: Log) -> None:
    sizes = ["small", "medium", "large"]
    for number in range(30):
        chances = {"large": 0.7, "medium": 0.2, "small": 0.1} if number % 3 else {"small": 0.9, "medium": 0.1}
        recorded = [chances.get(name, 0.0) for name in sorted(sizes)]  # as the router does with a mapping
        labelled(log, f"u{number}", recorded, number % 3, decision=max(chances, key=chances.__getitem__))
        labelled(log, f"t{number}", recorded, number % 3, "treatment", decision="none of them")
    report = log.report(stored(MOOD | {"classes": sizes}))
    assert quality(report).misordered
    (line,) = doubts(report)
    assert line.endswith("If these are, write classes: [large, medium, small]")
    assert not quality(report, "treatment").misordered
    assert not quality(log.report(stored(MOOD | {"classes": sorted(sizes)}))).misordered


def test_a_list_in_any_order_that_fits_the_decisions_is_not_doubted(log: Log) -> None:
    for number in range(30):
        scores, decision = ([0.7, 0.2, 0.1], "small") if number % 3 else ([0.1, 0.2, 0.7], "large")
        labelled(log, f"u{number}", scores, number % 3, decision=decision)
    report = log.report(stored(MOOD | {"classes": ["small", "medium", "large"]}))
    assert doubts(report) == []


def test_an_absurd_score_does_not_end_the_report(log: Log) -> None:
    for number in range(120):
        labelled(log, f"c{number}", [0.2, 0.3, 0.5], number % 3)
        labelled(log, f"t{number}", [1e300, -1e300, 0.5], number % 3, "treatment")
    treatment = quality(log.report(stored(MOOD)), "treatment")
    assert (treatment.labels, treatment.roc_auc, treatment.accuracy) == (120, 0.5, pytest.approx(1 / 3))
    assert treatment.brier == pytest.approx((0.25 + 2.25 + 1.25) / 3)
    assert treatment.log_loss == pytest.approx((0 - math.log(1e-15) + math.log(2)) / 3)
