"""A shadow version and the served one on the same labelled predictions, against sums taken by hand."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.paired import PairedMeasure, PairedQuality
from ekiben.experiments.statistics.sequential import half_width
from tests.control.analysis.events import DAY, HOUR, START, Log, metric, stored
from tests.control.analysis.test_shadow import reports
from tests.proofs.statistics.labelled import placements

TRUTH = metric("good", "label", window_hours=48)
HELD = stored(TRUTH, shadow={"v3": 100}, status="draft")


def paired(log: Log, held: object = HELD, now: float = 5 * DAY) -> PairedQuality:
    (found,) = reports(log, held, now)
    (quality,) = found.paired
    return quality


def measure(quality: PairedQuality, name: str) -> PairedMeasure:
    return next(each for each in quality.measures if each.measure == name)


class Answered:
    """Predictions of 200 users, one to three each, which both versions scored; v3 is the better one."""

    def __init__(self, log: Log, users: int = 200, errors: tuple[float, float] = (1.5, 0.6)) -> None:
        rng = np.random.default_rng(11)
        rows = []
        for user in range(users):
            own = rng.normal(0, 0.7)
            for _ in range(rng.integers(1, 4)):
                quality = own + rng.normal(0, 0.7)
                served, shadow = (
                    round(float(1 / (1 + math.exp(-quality - rng.normal(0, error)))), 2) for error in errors
                )
                label = int(rng.random() < 1 / (1 + math.exp(-2 * quality)))
                name = f"p{len(rows)}"
                log.shadow(name, shadow, served, user_hash=f"u{user}", against_model_version="credit_v1:1")
                log.outcome(label, HOUR, name="good", prediction=name)
                rows.append((user, label, served, shadow))
        self.user, self.label, self.served, self.shadow = np.array(rows).T


@pytest.fixture
def answered(log: Log) -> Answered:
    return Answered(log)


def test_every_measure_is_that_of_each_version_on_the_same_predictions(log: Log, answered: Answered) -> None:
    quality = paired(log)
    assert (quality.outcome, quality.labels, quality.users) == ("good", len(answered.label), 200)
    assert quality.positives == answered.label.sum()
    for name, of in (
        ("roc_auc", roc_auc_score),
        ("brier", brier_score_loss),
        ("log_loss", lambda label, score: log_loss(label, np.clip(score, 1e-15, 1 - 1e-15))),
        ("accuracy", lambda label, score: ((score >= 0.5) == (label == 1)).mean()),
    ):
        found = measure(quality, name)
        assert found.against == pytest.approx(of(answered.label, answered.served))
        assert found.shadow == pytest.approx(of(answered.label, answered.shadow))
        assert found.difference == pytest.approx(found.shadow - found.against)
        assert found.interval.low < found.difference < found.interval.high


def test_the_better_version_is_found_before_it_has_a_user(log: Log) -> None:
    Answered(log, 500, (2.5, 0.3))
    quality = paired(log)
    assert (quality.measure, quality.state) == ("roc_auc", State.BETTER)
    assert paired(log, stored(TRUTH | {"measure": "brier", "better": "lower"}, shadow={"v3": 100})).state is (
        State.BETTER
    )


def test_a_worse_shadow_is_called_worse(log: Log) -> None:
    Answered(log, 500, (0.3, 2.5))
    assert paired(log).state is State.WORSE


def test_the_error_of_the_difference_is_that_of_differences_summed_over_users(
    log: Log, answered: Answered
) -> None:
    positive = answered.label == 1
    both = placements(answered.shadow, positive) - placements(answered.served, positive)
    away = both - both[positive].mean()
    terms = np.zeros((2, 200))
    for row, chosen in enumerate((positive, ~positive)):
        np.add.at(terms[row], answered.user[chosen].astype(int), away[chosen] / chosen.sum())
    users = [len(np.unique(answered.user[chosen])) for chosen in (positive, ~positive)]
    variance = (
        (terms[0] ** 2).sum() * users[0] / (users[0] - 1)
        + (terms[1] ** 2).sum() * users[1] / (users[1] - 1)
        + 2 * (terms[0] * terms[1]).sum() * 200 / 199
    )
    found = measure(paired(log), "roc_auc")
    width = half_width(math.sqrt(variance), 200, 0.05)
    assert found.interval.high - found.interval.low == pytest.approx(2 * width)


def test_labels_of_several_classes_are_compared_too(log: Log) -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 240)
    spread = np.eye(3)[truth]
    served, shadow = (np.exp(lean * spread + rng.normal(0, 1, (240, 3))).astype("f4") for lean in (0.3, 2.0))
    served, shadow = (each / each.sum(1, keepdims=True) for each in (served, shadow))
    for number in range(240):
        log.shadow(
            f"p{number}", None, None, user_hash=f"u{number}",
            scores=shadow[number].tolist(), against_scores=served[number].tolist(),
        )  # fmt: skip
        log.outcome(float(truth[number]), HOUR, name="good", prediction=f"p{number}")
    quality = paired(log, stored(TRUTH | {"classes": ["a", "b", "c"]}, shadow={"v3": 100}))
    found = measure(quality, "roc_auc")
    for value, scores in ((found.against, served), (found.shadow, shadow)):
        theirs = roc_auc_score(
            truth, scores / scores.sum(1, keepdims=True), multi_class="ovr", average="macro"
        )
        assert value == pytest.approx(theirs, abs=1e-6)
    assert found.difference == pytest.approx(found.shadow - found.against)
    assert (quality.positives, quality.state) == (None, State.BETTER)


def test_only_the_present_tags_of_both_versions_count(log: Log) -> None:
    for number in range(6):
        tag = "credit_v3:1" if number < 2 else "credit_v3:2"
        log.shadow(f"p{number}", 0.4, 0.5, model_version=tag, at=START + number)
        log.outcome(number % 2, HOUR, name="good", prediction=f"p{number}")
    quality = paired(log)
    assert (quality.labels, quality.users, quality.state) == (4, 4, State.NO_DATA)


def test_a_label_of_after_its_window_and_a_second_one_do_not_count(log: Log) -> None:
    for number in range(3):
        log.shadow(f"p{number}", 0.4, 0.5)
    log.outcome(1, 3 * DAY, name="good", prediction="p0")
    log.outcome(1, HOUR, name="good", prediction="p1", received_at=START + 5.0)
    log.outcome(0, HOUR, name="good", prediction="p1", received_at=START + 9.0)
    log.outcome(0, HOUR, name="good", prediction="p2")
    quality = paired(log)
    assert (quality.labels, quality.positives) == (2, 1)


def test_a_model_whose_experiments_have_no_label_is_not_compared(log: Log, answered: Answered) -> None:
    (found,) = reports(log, stored(metric(), shadow={"v3": 100}), 5 * DAY)
    assert found.paired == ()


def test_reports_of_before_have_no_quality(log: Log, answered: Answered) -> None:
    (found,) = reports(log, HELD, 5 * DAY)
    data = msgspec.to_builtins(found)
    del data["paired"], data["otherwise"]
    assert msgspec.convert(data, type(found)).paired == ()


def test_what_live_accepted_and_the_shadow_would_decline_has_its_outcomes_and_gains_have_none(
    log: Log,
) -> None:
    lost, gained, alike = range(4), range(4, 7), range(7, 12)
    for number in (*lost, *gained, *alike):
        decision = "decline" if number in lost else "approve"
        log.shadow(f"p{number}", 0.4, 0.5, user_hash=f"u{number}", decision=decision, agreed=number in alike)
        if number not in gained:
            log.outcome(float(number), HOUR, prediction=f"p{number}")
    log.outcome(10.0, HOUR, prediction="p0")
    log.outcome(99.0, 3 * DAY, prediction="p1")  # after the window
    log.shadow("p-new", 0.4, 0.5, decision="decline", agreed=False, at=START + 4.5 * DAY)
    (found,) = reports(log, stored(metric(), shadow={"v3": 100}), 5 * DAY)
    declined, approved = sorted(found.otherwise, key=lambda line: line.decision, reverse=True)
    assert (declined.decision, declined.predictions, declined.with_outcome) == ("decline", 4, 4)
    assert declined.mean == pytest.approx((0 + 1 + 2 + 3 + 10) / 4)
    assert (approved.decision, approved.predictions, approved.with_outcome) == ("approve", 3, 0)
    assert approved.mean is None
