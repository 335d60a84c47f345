from __future__ import annotations

from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiben.experiments.statistics.e_values import e_bh, e_value
from ekiben.experiments.statistics.sequential import confidence_sequence

USERS = st.integers(2, 10**8)
LEVEL = st.floats(1e-6, 0.4)


@given(st.floats(-8, 8), st.floats(0.01, 100), USERS, LEVEL)
def test_it_passes_1_by_the_level_exactly_when_the_interval_at_that_level_leaves_0_out(
    score: float, std_error: float, users: int, level: float
) -> None:
    found = e_value(score * std_error, std_error, users, level)
    if abs(found * level - 1) < 1e-9:
        return  # nearer than rounding
    interval = confidence_sequence(score * std_error, std_error, users, level)
    assert interval.low is not None
    assert interval.high is not None
    assert (found > 1 / level) == (interval.low > 0 or interval.high < 0)


def test_without_an_effect_its_mean_is_1() -> None:
    users, level = 4000, 0.05
    scores = np.linspace(-9, 9, 20_001)
    density = np.exp(-scores * scores / 2) / sqrt(2 * np.pi)
    mean = sum(
        e_value(float(score), 1.0, users, level) * weight
        for score, weight in zip(scores, density, strict=True)
    )
    assert mean * (scores[1] - scores[0]) == pytest.approx(1.0, rel=1e-3)


def test_where_nothing_can_be_said_it_is_1_and_an_endless_effect_has_a_number() -> None:
    assert e_value(1.0, 0.0, 1000, 0.05) == e_value(1.0, 1.0, 0, 0.05) == 1.0
    assert exp(600) < e_value(1e300, 1e-300, 1000, 0.05) < float("inf")


def test_e_bh_names_the_largest_by_their_rank() -> None:
    assert e_bh([], 0.05) == ()
    assert e_bh([79.9, 1.0, 1.0, 1.0], 0.05) == (False, False, False, False)
    assert e_bh([1.0, 80.0, 39.0, 1.0], 0.05) == (False, True, False, False)
    assert e_bh([1.0, 41.0, 40.0, 0.2], 0.05) == (False, True, True, False)
