from __future__ import annotations

from math import inf, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiben.experiments.statistics.sequential import (
    UNBOUNDED,
    confidence_sequence,
    half_width,
    sequential_p_value,
)

USERS = st.integers(2, 10**9)
ALPHA = st.floats(1e-9, 0.9)


def test_the_width_is_growthbooks() -> None:
    users, alpha, variance = 12_345, 0.05, 7.5  # variance of the estimate times the users
    rho = sqrt((-2 * log(alpha) + log(-2 * log(alpha) + 1)) / 5000)
    n, r2 = users, rho * rho
    theirs = sqrt(variance) * sqrt(2 * (n * r2 + 1) * log(sqrt(n * r2 + 1) / alpha) / (n * n * r2))
    assert half_width(sqrt(variance / n), n, alpha) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("users", [1000, 50_000, 10**7])
def test_the_interval_is_narrowest_at_the_planned_users(users: int) -> None:
    planned = half_width(1.0, users, 0.05, users)
    assert all(half_width(1.0, users, 0.05, users * by) > planned for by in (0.01, 0.3, 3, 100))


@given(USERS, st.floats(-0.9, -1e-4), ALPHA)
def test_intervals_are_nested_in_alpha(users: int, smaller: float, alpha: float) -> None:
    assert half_width(1.0, users, alpha * (1 + smaller)) >= half_width(1.0, users, alpha) * (1 - 1e-12)


@given(st.floats(-20, 20), st.floats(0.01, 100), USERS, ALPHA, USERS)
def test_the_p_value_is_below_alpha_exactly_when_the_interval_leaves_0_out(
    score: float, std_error: float, users: int, alpha: float, planned: int
) -> None:
    estimate = score * std_error
    p = sequential_p_value(estimate, std_error, users, planned)
    if abs(p / alpha - 1) < 1e-9:
        return  # nearer than rounding
    interval = confidence_sequence(estimate, std_error, users, alpha, planned)
    assert interval.low is not None
    assert interval.high is not None
    assert (p < alpha) == (interval.low > 0 or interval.high < 0)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), USERS, st.floats(1e-3, 1e3))
def test_the_unit_of_the_metric_changes_no_p_value(
    estimate: float, std_error: float, users: int, unit: float
) -> None:
    p = sequential_p_value(estimate, std_error, users)
    assert sequential_p_value(estimate * unit, std_error * unit, users) == pytest.approx(p, rel=1e-6)


def test_nothing_can_be_said_without_users_or_without_a_difference_between_them() -> None:
    assert confidence_sequence(1.0, 0.0, 1000, 0.05) == UNBOUNDED
    assert confidence_sequence(1.0, 1.0, 0, 0.05) == UNBOUNDED
    assert sequential_p_value(1.0, 0.0, 1000) == 1.0
    assert half_width(1.0, 0, 0.05) == inf


def test_an_endless_effect_has_a_p_value_of_0() -> None:
    assert sequential_p_value(1e300, 1e-300, 1000) == 0.0
