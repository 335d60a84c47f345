"""Formulas of comparing only where versions differ."""

from __future__ import annotations

import numpy as np
import pytest

from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.differing import (
    answered_by_both,
    answers_missing,
    carries_over,
    differing_spread,
)
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import confidence_sequence


def test_moments_are_those_of_the_values_divided_by_the_share() -> None:
    x, y = np.random.default_rng(1).normal(3, 2, (2, 50))
    whole = Moments(50, x.sum(), (x * x).sum(), y.sum(), (y * y).sum(), (x * y).sum())
    x = x / 0.8
    divided = answered_by_both(whole, 0.8)
    assert divided.xx == pytest.approx((x * x).sum())
    assert (divided.x, divided.xy) == (pytest.approx(x.sum()), pytest.approx((x * y).sum()))
    assert (divided.n, divided.y, divided.yy) == (50, whole.y, whole.yy)
    assert answered_by_both(whole, None) == answered_by_both(whole, 1.0) == whole


def test_the_spread_of_differing_requests_is_that_of_simulated_users() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(29, 50, (200_000, 3))
    differs = rng.random(values.shape) < 0.087
    total = values.sum(1)
    spread = differing_spread(total.std(), total.mean(), 0.087, 3)
    assert spread.std == pytest.approx((values * differs).sum(1).std(), rel=0.01)
    assert differing_spread(5.0, 3.0, 1.0).std == 5.0
    gained = ((values + 20) * differs).sum(1)
    spread = differing_spread(total.std(), total.mean(), 0.087, 3, 20 * 0.087 * 3)
    assert spread.std_treatment == pytest.approx(gained.std(), rel=0.01)
    with pytest.raises(ValueError, match="share"):
        differing_spread(5.0, 3.0, 0.0)


@pytest.mark.parametrize(
    ("shares", "p_value", "missing"),
    [
        ((0.9995, 0.9999), 1e-9, False),  # harmless, however certain
        ((0.99, 0.998), 1e-9, True),
        ((0.99, 0.992), 0.5, False),
        ((0.94, 0.94), 1.0, True),
        ((None, None), 1.0, False),
    ],
)
def test_answers_are_missing_where_too_many_are_or_one_variant_has_fewer(
    shares: tuple[float | None, float | None], p_value: float, missing: bool
) -> None:
    assert answers_missing(shares, 10_000, p_value) is missing
    assert answers_missing(shares, 50, p_value) is False  # too few to say anything


def test_something_carries_over_where_the_interval_of_agreeing_requests_leaves_0_out() -> None:
    none = effects.UNKNOWN.interval

    def agreeing(absolute: float) -> Effect:
        return Effect(absolute, confidence_sequence(absolute, 1.0, 5000, 0.001), None, none, None, None)

    carried = [carries_over(agreeing(each), 2500) for each in (-9.0, 0.0, 2.0, 9.0)]
    assert carried == [True, False, False, True]
    assert not carries_over(agreeing(9.0), 99)
