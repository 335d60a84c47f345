from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.label_quality import (
    calibration_bin,
    fixed_interval,
    mean_roc_auc,
    roc_auc,
    wilson_interval,
)
from ekiben.experiments.statistics.sequential import UNBOUNDED
from tests.proofs.statistics.labelled import (
    auc_sums,
    class_sums,
    delong_variance,
    simulate,
    simulate_classes,
)
from tests.proofs.statistics.labels import look_at_classes


@given(st.integers(0, 1000))
def test_with_one_prediction_a_user_the_variance_is_delongs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = np.round(rng.random(60), 1), rng.random(60) < 0.4
    found = roc_auc(auc_sums(scores, labels, np.arange(60)))
    assert found is not None
    assert found.std_error**2 == pytest.approx(delong_variance(scores[labels], scores[~labels]), rel=1e-9)


def test_predictions_of_one_user_copied_make_nothing_surer() -> None:
    scores, labels, _ = simulate(np.random.default_rng(3), 200)
    user = np.arange(len(scores))
    once = roc_auc(auc_sums(scores, labels, user))
    thrice = roc_auc(auc_sums(np.tile(scores, 3), np.tile(labels, 3), np.tile(user, 3)))
    assert once is not None
    assert thrice is not None
    assert thrice.value == pytest.approx(once.value)
    assert thrice.std_error == pytest.approx(once.std_error)


@given(st.integers(0, 1000))
def test_of_two_classes_the_mean_area_is_the_area_and_its_error_nearly_the_same(seed: int) -> None:
    scores, labels, user = simulate(np.random.default_rng(seed), 400)
    one = roc_auc(auc_sums(scores, labels, user))
    two = mean_roc_auc(*class_sums(np.stack([1 - scores, scores], 1), labels.astype(int), user))
    assert one is not None
    assert two is not None
    assert two.value == pytest.approx(one.value)
    # Users with a positive, users with a negative one and all users have each a factor of their own in one.
    assert two.std_error == pytest.approx(one.std_error, rel=5e-3)


def test_predictions_of_one_user_copied_make_the_mean_area_no_surer() -> None:
    scores, labels, _ = simulate_classes(np.random.default_rng(3), 200)
    user = np.arange(len(scores))
    once = mean_roc_auc(*class_sums(scores, labels, user))
    thrice = mean_roc_auc(*class_sums(np.tile(scores, (3, 1)), np.tile(labels, 3), np.tile(user, 3)))
    assert once is not None
    assert thrice is not None
    assert thrice.value == pytest.approx(once.value)
    assert thrice.std_error == pytest.approx(once.std_error)


def test_the_mean_area_of_classes_is_in_its_interval_as_often_as_promised() -> None:
    clustered, as_if_users = look_at_classes(5, experiments=300, users=300, everybody=100_000)
    assert 0.95 - 0.03 <= clustered <= 0.95 + 0.03
    assert as_if_users < 0.9


def test_a_class_that_one_user_has_leaves_no_mean_area() -> None:
    scores, labels, user = simulate_classes(np.random.default_rng(1), 50)
    rare = user == user[labels == 2][0]
    assert mean_roc_auc(*class_sums(scores, labels, user)) is not None
    assert mean_roc_auc(*class_sums(scores, np.where(rare, 2, labels % 2), user)) is None


def test_labels_of_one_kind_have_no_area() -> None:
    assert roc_auc(auc_sums(np.array([0.1, 0.9]), np.array([True, True]), np.arange(2))) is None


def test_scores_that_separate_perfectly_have_an_area_without_an_interval() -> None:
    found = roc_auc(auc_sums(np.array([0.1, 0.2, 0.8, 0.9]), np.arange(4) > 1, np.arange(4)))
    assert found == Estimate(1.0, 0.0, 4)
    assert fixed_interval(found, 1.96, 0.0, 1.0) == UNBOUNDED


def test_an_interval_stays_within_what_the_measure_can_be() -> None:
    interval = fixed_interval(Estimate(0.98, 0.05, 100), 1.96, 0.0, 1.0)
    assert interval.high == 1.0


def test_wilson_says_something_of_none_and_of_all() -> None:
    assert wilson_interval(0, 10, 1.96).high == pytest.approx(0.2775, abs=1e-3)
    assert wilson_interval(10, 10, 1.96).low == pytest.approx(0.7225, abs=1e-3)
    assert wilson_interval(0, 0, 1.96) == UNBOUNDED


def test_an_empty_bin_is_no_bin() -> None:
    assert calibration_bin(0.0, 0.1, 0, 0.0, 0, 1.96) is None
