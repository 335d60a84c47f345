"""Labels that only some users have: whether the variants' users are comparable."""

from __future__ import annotations

import numpy as np
import pytest

from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Report
from tests.control.analysis.events import HOUR, Log, metric, metric_of, stored

TRUTH = metric("good", "label", window_hours=48)
PROFIT = metric("profit", "mean", window_hours=48)
USERS = 600


def approved(log: Log, shares: tuple[float, float], seed: int = 5) -> None:
    """Applicants of a latent quality. Treatment's scores fit it better. Each version approves its best share,
    and only what it approves gets a label and a profit.
    """
    rng = np.random.default_rng(seed)
    for variant, share, noise in zip(("control", "treatment"), shares, (1.5, 0.8), strict=True):
        quality = rng.normal(0, 1, USERS)
        seen = quality + rng.normal(0, noise, USERS)
        good = rng.random(USERS) < 1 / (1 + np.exp(-2 * quality))
        for number in range(USERS):
            score = 1 / (1 + np.exp(-float(seen[number])))
            prediction = log.exposure(f"{variant}-{number}", variant, score=score)
            if seen[number] > np.quantile(seen, 1 - share):
                log.outcome(float(good[number]), HOUR, name="good", prediction=prediction)
                log.outcome(1.0, HOUR, name="approved", prediction=prediction)
                log.outcome(1.0 if good[number] else -2.0, HOUR, name="profit", prediction=prediction)


def judged(log: Log, *metrics: dict[str, object]) -> Report:
    return log.report(stored(*metrics, min_users=100, min_days=0))


@pytest.fixture
def biased(log: Log) -> Log:
    approved(log, (0.9, 0.5))
    return log


def test_labels_of_those_only_whom_a_version_approves_decide_nothing(biased: Log) -> None:
    report = judged(biased, TRUTH)
    found = metric_of(report, "good")
    assert found.usable is not None
    assert [(each.matured, each.usable) for each in found.usable.variants] == [(USERS, 540), (USERS, 300)]
    assert found.usable.differ
    assert found.states["treatment"] not in (State.BETTER, State.WORSE)
    assert (report.verdict.decision, report.verdict.reason) == ("cannot_tell", "labels_differ")
    assert "90.0 % with v1, 50.0 % with v2" in report.verdict.sentence
    assert "on the same predictions" in report.verdict.sentence


def test_an_outcome_that_counts_for_everybody_decides_beside_labels_that_differ(biased: Log) -> None:
    report = judged(biased, PROFIT, TRUTH)
    assert metric_of(report, "good").usable.differ
    assert metric_of(report).usable is None
    assert report.verdict.reason != "labels_differ"


def test_a_ratio_of_those_only_who_were_approved_decides_nothing(biased: Log) -> None:
    ratio = metric("yield", "ratio", window_hours=48) | {"outcome": "profit", "denominator": "approved"}
    report = judged(biased, ratio)
    assert report.verdict.reason == "labels_differ"


def test_labels_of_the_same_share_are_compared(log: Log) -> None:
    approved(log, (0.7, 0.7))
    report = judged(log, TRUTH)
    assert not metric_of(report, "good").usable.differ
    assert report.verdict.reason != "labels_differ"
