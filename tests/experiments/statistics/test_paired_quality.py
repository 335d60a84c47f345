from __future__ import annotations

import numpy as np
import pytest

from ekiben.experiments.reports.metric import State
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.paired_quality import (
    area_difference,
    loss_difference,
    paired_interval,
    paired_p_value,
    paired_state,
)
from ekiben.experiments.statistics.sequential import confidence_sequence
from tests.proofs.statistics.paired import difference_moments, difference_sums


def delong(scores: np.ndarray, others: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The difference of two areas on the same predictions, and its variance, from all pairs (DeLong 1988)."""
    wins = []
    for each in (scores, others):
        positive, negative = each[labels], each[~labels]
        wins.append((positive[:, None] > negative) + 0.5 * (positive[:, None] == negative))
    away = wins[0] - wins[1]
    by_positive, by_negative = away.mean(1), away.mean(0)
    variance = by_positive.var(ddof=1) / len(by_positive) + by_negative.var(ddof=1) / len(by_negative)
    return float(away.mean()), float(variance)


def test_the_difference_of_two_areas_is_delongs_with_one_prediction_a_user() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(300) < 0.4
    served = np.round(rng.normal(0, 1, 300) + labels, 1)
    shadow = np.round(served + rng.normal(0, 0.5, 300) + 0.3 * labels, 1)
    found = area_difference([difference_sums(served, shadow, labels, np.arange(300))])
    assert found is not None
    value, variance = delong(shadow, served, labels)
    assert (found.value, found.std_error**2) == pytest.approx((value, variance))


def test_several_predictions_of_one_user_are_one_piece_of_evidence() -> None:
    rng = np.random.default_rng(2)
    labels = rng.random(300) < 0.4
    served, shadow = rng.normal(0, 1, (2, 300)) + labels
    once = area_difference([difference_sums(served, shadow, labels, np.arange(300))])
    four_times = [np.repeat(each, 4) for each in (served, shadow, labels, np.arange(300))]
    again = area_difference([difference_sums(*four_times)])
    assert once is not None
    assert again is not None
    assert (again.value, again.std_error) == pytest.approx((once.value, once.std_error))


def test_a_loss_of_the_same_scores_differs_by_nothing() -> None:
    scores, labels = np.full(200, 0.3), np.arange(200) % 2 == 0
    found = loss_difference(difference_moments("brier", scores, scores, labels, np.arange(200)))
    assert found is not None
    assert (found.value, found.std_error) == (0, 0)
    assert paired_state(found, "lower", 0.05) is State.UNCLEAR


def test_an_area_is_not_compared_before_ten_users_have_each_label() -> None:
    rng = np.random.default_rng(3)
    served, shadow = rng.random((2, 200))
    for positives, known in ((9, False), (10, True)):
        sums = difference_sums(served, shadow, np.arange(200) < positives, np.arange(200))
        assert (area_difference([sums]) is not None) == known


@pytest.mark.parametrize(
    ("value", "better", "state"),
    [
        (0.05, "higher", State.BETTER),
        (0.05, "lower", State.WORSE),
        (-0.05, "higher", State.WORSE),
        (-0.05, "lower", State.BETTER),
        (0.01, "higher", State.UNCLEAR),
    ],
)
def test_the_interval_of_the_difference_decides(value: float, better: str, state: State) -> None:
    known = Estimate(value, 0.01, 3000)
    assert paired_state(known, better, 0.05) is state
    assert paired_interval(known, 0.05) == confidence_sequence(value, 0.01, 3000, 0.05)
    assert (paired_p_value(known) < 0.05) == (state is not State.UNCLEAR)


def test_nothing_is_said_below_a_hundred_users() -> None:
    few = Estimate(0.5, 0.01, 99)
    assert paired_state(few, "higher", 0.05) is State.NO_DATA
    assert paired_interval(few, 0.05).low is None
    assert paired_p_value(few) is None
