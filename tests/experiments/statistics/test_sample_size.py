from __future__ import annotations

import pytest

from ekiben.experiments.statistics.boundary_crossing import crossing_probability
from ekiben.experiments.statistics.sample_size import (
    Spread,
    duration,
    proportion,
    sample_size,
)
from ekiben.experiments.statistics.sequential import JUDGED_FROM


def test_looking_at_any_time_costs_users() -> None:
    size = sample_size(26, Spread(165), (50, 50), alpha=0.05)
    assert size.fixed_users == 1265
    assert 1.5 < size.price < 2
    assert size.users_by_variant == (size.users // 2, size.users // 2)


def test_intervals_that_are_narrowest_at_the_plans_own_users_need_fewest() -> None:
    fixed, tuned = (sample_size(1, Spread(100), (50, 50), alpha=0.05, planned_users=n) for n in (5000, None))
    assert fixed.fixed_users == 313_956
    assert (fixed.price, tuned.price) == (pytest.approx(2.24, abs=0.01), pytest.approx(1.68, abs=0.01))


def test_a_smaller_effect_less_alpha_more_power_and_unequal_weights_need_more_users() -> None:
    def users(effect: float = 26, weights: tuple[float, ...] = (50, 50), **more: float) -> int:
        return sample_size(effect, Spread(165), weights, **{"alpha": 0.05, **more}).users  # type: ignore[arg-type]

    known = users()
    assert known < min(users(effect=13), users(alpha=0.01), users(power=0.9), users(weights=(80, 20)))
    assert users(weights=(50, 25, 25)) > users(weights=(50, 25))


def test_each_variant_gets_its_minimum() -> None:
    assert sample_size(1000, Spread(1), (80, 20), alpha=0.05, min_users=500).users_by_variant == (2000, 500)


def test_a_rare_share_needs_more_than_its_variance_says() -> None:
    spread = proportion(0.005, 0.01)
    plain = Spread(spread.std, spread.std_treatment)
    rare, common = (sample_size(0.01, each, (50, 50), alpha=0.05).users for each in (spread, plain))
    assert rare > common


def test_power_rises_with_users_and_falls_with_fewer_looks() -> None:
    powers = [crossing_probability(0.03, users, 0.05) for users in (2000, 8000, 15_000, 30_000, 100_000)]
    assert powers == sorted(powers)
    assert powers[-1] == pytest.approx(1.0, abs=1e-3)
    assert crossing_probability(0.03, 12_000, 0.05, looks=5) < crossing_probability(0.03, 12_000, 0.05)


def test_days_hold_the_joining_and_the_window_and_the_minimum() -> None:
    took = duration(2500, 500, 0.5, 24, 7)
    assert (took.days, took.joining_days, took.window_days) == (11, 10, 1)
    assert duration(250, 500, 0.5, 24, 7).held_up_by_min_days


@pytest.mark.parametrize(
    ("effect", "spread", "weights", "power"),
    [
        (0.0, Spread(1), (50, 50), 0.8),
        (1.0, Spread(0), (50, 50), 0.8),
        (1.0, Spread(1), (100,), 0.8),
        (1.0, Spread(1), (100, 0), 0.8),
        (1.0, Spread(1), (50, 50), 1.0),
    ],
)
def test_what_is_no_plan_is_refused(
    effect: float, spread: Spread, weights: tuple[float, ...], power: float
) -> None:
    with pytest.raises(ValueError, match="a plan needs"):
        sample_size(effect, spread, weights, alpha=0.05, power=power)


def test_without_users_no_day_comes() -> None:
    with pytest.raises(ValueError, match="above 0"):
        duration(100, 0, 1.0, 24, 7)


def test_an_enormous_effect_needs_the_minimum() -> None:
    assert sample_size(1000, Spread(1.0), [1, 1], alpha=0.05).users_by_variant == (JUDGED_FROM, JUDGED_FROM)


def test_a_power_next_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match="power of at most"):
        sample_size(1, Spread(1.0), [1, 1], alpha=0.05, power=0.999999)
