from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.srm import srm_p_value, srm_test

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
