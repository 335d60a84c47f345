from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiben.experiments.statistics.srm import srm_p_value, srm_test

COUNTS = st.lists(st.integers(0, 10**7), min_size=2, max_size=5)


def test_the_split_that_was_asked_is_no_mismatch() -> None:
    assert srm_p_value((500_000, 300_000, 200_000), (0.5, 0.3, 0.2)) == 1.0


def test_a_broken_split_is_a_mismatch() -> None:
    assert srm_test((10_400, 9_600), (0.5, 0.5)).mismatch
    assert not srm_test((10_050, 9_950), (0.5, 0.5)).mismatch


def test_no_users_are_no_evidence() -> None:
    assert srm_p_value((0, 0), (0.8, 0.2)) == 1.0


def test_a_user_where_nobody_was_asked_for_is_a_mismatch_at_once() -> None:
    assert srm_p_value((100, 1), (1.0, 0.0)) == 0.0


@given(COUNTS, st.floats(0.1, 1000))
def test_shares_count_by_their_proportions(counts: list[int], unit: float) -> None:
    weights = [float(place + 1) for place in range(len(counts))]
    scaled = [weight * unit for weight in weights]
    assert srm_p_value(counts, scaled) == pytest.approx(srm_p_value(counts, weights), rel=1e-3, abs=1e-12)


@given(COUNTS)
def test_a_p_value_lies_between_0_and_1(counts: list[int]) -> None:
    assert 0 <= srm_p_value(counts, [1.0] * len(counts)) <= 1


@pytest.mark.parametrize("shares", [(1.0,), (0.0, 0.0), (1.5, -0.5)])
def test_what_is_no_split_is_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="make a split"):
        srm_p_value((1, 1), shares)


def test_the_evidence_of_one_user_is_fair_on_average() -> None:
    # The martingale's first step: the mean of 1/p over users who come as asked is at most 1.
    seen = [srm_p_value(counts, (0.8, 0.2)) for counts in ((1, 0), (0, 1))]
    assert 0.8 / seen[0] + 0.2 / seen[1] == pytest.approx(1.0, abs=1e-9)


def test_users_who_came_under_two_splits_are_no_mismatch_in_whatever_proportion() -> None:
    early, late = (10, 1), (9500, 500)
    for first in (0, 500, 2000, 20_000):
        treated = first // 11 + 100
        assert not srm_test((first + 2000 - treated, treated), early, late).mismatch
    assert srm_test((18_000, 2000), late).mismatch
    assert srm_test((15_000, 5000), early, late).mismatch
    assert srm_test((19_900, 100), early, late).mismatch


def test_of_three_variants_a_mixture_of_two_splits_is_found() -> None:
    assert not srm_test((7500, 1500, 1000), (8, 1, 1), (70, 20, 10)).mismatch
    assert srm_test((7500, 1000, 1500), (8, 1, 1), (70, 20, 10)).mismatch
