from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import UNKNOWN, Estimate, effect, steadied
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import UNBOUNDED, half_width

VALUES = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=30)
ESTIMATE = st.builds(Estimate, st.floats(-50, 50), st.floats(0.01, 10), st.integers(100, 10**6))


def moments(pairs: list[tuple[float, float]]) -> Moments:
    return sum((Moments(1, x, x * x, y, y * y, x * y) for x, y in pairs), start=Moments())


def of_arrays(x: np.ndarray, y: np.ndarray) -> Moments:
    return Moments(len(x), x.sum(), (x * x).sum(), y.sum(), (y * y).sum(), (x * y).sum())


def errors(count: int, users: int) -> Moments:
    return Moments(users, count, count, users, users, count)


@given(VALUES, VALUES)
def test_moments_of_parts_add_up_to_those_of_the_whole(
    first: list[tuple[float, float]], second: list[tuple[float, float]]
) -> None:
    whole, parts = moments(first + second), moments(first) + moments(second)
    assert parts.n == whole.n
    assert parts.cov == pytest.approx(whole.cov, rel=1e-9, abs=1e-7)
    assert parts.var == pytest.approx(whole.var, rel=1e-9, abs=1e-7)


def test_moments_of_nobody_have_no_mean_and_of_one_user_no_variance() -> None:
    assert Moments().mean is None
    assert moments([(1.0, 2.0)]).var is None
    assert effects.mean(moments([(1.0, 2.0)])) is None


@given(ESTIMATE, ESTIMATE, st.floats(1e-4, 0.4))
def test_the_relative_interval_leaves_0_out_exactly_when_the_absolute_one_does(
    control: Estimate, treatment: Estimate, alpha: float
) -> None:
    found = effect(control, treatment, alpha)
    low, high = found.interval.low, found.interval.high
    relative = found.relative_interval
    if relative.low is None or relative.high is None:
        return
    assert low is not None
    assert high is not None
    assume(min(abs(low), abs(high)) > 1e-6)
    assert (relative.low > 0, relative.high < 0) == (low > 0, high < 0)
    assert found.relative is not None
    assert relative.low <= found.relative <= relative.high


@given(ESTIMATE, ESTIMATE)
def test_steadying_never_makes_a_standard_error_smaller(control: Estimate, treatment: Estimate) -> None:
    first, second = steadied(control, treatment)
    assert first >= control.std_error * (1 - 1e-12)
    assert second >= treatment.std_error * (1 - 1e-12)


def test_the_relative_effect_has_no_ends_while_the_control_may_be_0() -> None:
    found = effect(Estimate(10.0, 7.0, 500), Estimate(36.0, 7.0, 500), 0.05)
    assert found.relative == pytest.approx(2.6)
    assert found.relative_interval == UNBOUNDED


def test_a_relative_effect_has_the_sign_of_the_absolute_one_below_0_too() -> None:
    found = effect(Estimate(-10.0, 0.1, 5000), Estimate(-8.0, 0.1, 5000), 0.05)
    assert found.relative == pytest.approx(0.2)
    assert found.relative_interval.low is not None
    assert 0 < found.relative_interval.low < 0.2


def test_no_error_in_many_users_says_few_and_not_never() -> None:
    found = effect(effects.rate(errors(0, 700)), effects.rate(errors(0, 700)), 0.05)
    assert found.absolute == 0
    assert found.interval.high == pytest.approx(0.0093, abs=0.0005)
    assert found.fixed_p_value is None


def test_a_mean_that_never_differed_has_no_interval() -> None:
    constant = effects.mean(Moments(500, 0.0, 0.0))
    assert effect(constant, constant, 0.05).interval == UNBOUNDED


def test_without_a_value_in_one_variant_nothing_is_known() -> None:
    assert effect(None, Estimate(1.0, 1.0, 100), 0.05) == UNKNOWN


def test_a_ratio_without_a_denominator_has_no_value() -> None:
    assert effects.ratio(Moments(10, 3.0, 3.0, 0.0, 0.0, 0.0)) is None


def test_a_covariate_that_does_not_vary_leaves_the_plain_means() -> None:
    flat = moments([(1.0, 0.0), (3.0, 0.0), (5.0, 0.0)])
    assert effects.cuped(flat, flat) == (effects.mean(flat), effects.mean(flat))


def test_a_covariate_that_explains_all_leaves_no_error() -> None:
    line = moments([(float(x), 2.0 * x) for x in range(20)])
    pair = effects.cuped(line, line)
    assert pair is not None
    assert pair[0].std_error == pytest.approx(0.0, abs=1e-6)


def test_a_mean_has_the_textbooks_standard_error() -> None:
    found = effects.mean(moments([(1.0, 0.0), (2.0, 0.0), (3.0, 0.0), (6.0, 0.0)]))
    assert found is not None
    assert found.std_error == pytest.approx(sqrt(14 / 3 / 4))


def test_an_effect_is_no_share_of_a_mean_that_may_be_0_though_its_size_is_known() -> None:
    unsure = effects.effect(Estimate(1.0, 5.0, 4000), Estimate(5.2, 5.0, 4000), 0.05)
    assert unsure.relative == pytest.approx(4.2)
    assert not unsure.is_relative
    assert unsure.interval.low is not None
    assert effects.effect(Estimate(100.0, 5.0, 4000), Estimate(105.0, 5.0, 4000), 0.05).is_relative


def test_the_error_of_a_share_of_a_cuped_mean_counts_the_covariates_own_mean() -> None:
    rng = np.random.default_rng(3)
    scores, without = [], []
    for _ in range(600):
        y = [rng.normal(0, 1, users) for users in (450, 50)]
        x = [5 + 8 * y[0] + rng.normal(0, 2, len(y[0])), 10 + 8 * y[1] + rng.normal(0, 2, len(y[1]))]
        pair = effects.cuped(*(of_arrays(*each) for each in zip(x, y, strict=True)))
        assert pair is not None
        known = effect(*pair, 0.05)
        assert known.absolute is not None
        assert known.std_error is not None
        assert known.control is not None
        contrast = known.absolute - known.control.value  # 0 in truth
        both = known.std_error**2 - 2 * known.control.with_effect + known.control.variance
        scores.append(contrast / sqrt(both))
        without.append(contrast / sqrt(known.std_error**2 + 3 * pair[0].std_error ** 2))
    assert np.std(scores) == pytest.approx(1.0, abs=0.08)
    assert np.std(without) > 1.15


def test_the_relative_interval_of_cuped_means_is_where_the_contrast_is_at_the_boundary() -> None:
    rng = np.random.default_rng(4)
    y = [rng.normal(0, 1, users) for users in (900, 300)]
    x = [5 + 8 * y[0] + rng.normal(0, 2, len(y[0])), 10 + 8 * y[1] + rng.normal(0, 2, len(y[1]))]
    pair = effects.cuped(*(of_arrays(*each) for each in zip(x, y, strict=True)))
    assert pair is not None
    known = effect(*pair, 0.05)
    boundary = half_width(1.0, 4 * 900 * 300 / 1200, 0.05)
    assert known.absolute is not None
    assert known.std_error is not None
    assert known.control is not None
    for end in (known.relative_interval.low, known.relative_interval.high):
        assert end is not None
        contrast = known.absolute - end * known.control.value
        of_control = end**2 * known.control.variance - 2 * end * known.control.with_effect
        assert abs(contrast) / sqrt(known.std_error**2 + of_control) == pytest.approx(boundary)
