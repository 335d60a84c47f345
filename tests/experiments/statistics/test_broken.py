from __future__ import annotations

from itertools import product

import pytest

from ekiben.experiments.statistics.broken import _rates, broken_e_value

SOME = (0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 0.99)


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.2])
@pytest.mark.parametrize("seen", [(1, 0, 1), (5, 0, 5), (20, 1, 9), (50, 10, 30), (8, 7, 8)])
def test_a_pairs_factor_has_a_mean_of_at_most_1_under_all_that_is_allowed(
    seen: tuple[int, int, int], margin: float
) -> None:
    rates, nearest = _rates(*seen, margin)
    for control, worse in product(SOME, (0.0, 0.5, 1.0)):
        truth = control, min(control + worse * margin, 1.0)
        mean = 1.0
        for rate, other, true in zip(rates, nearest, truth, strict=True):
            mean *= true * rate / other + (1 - true) * (1 - rate) / (1 - other)
        assert mean <= 1 + 1e-9


def test_a_version_that_always_fails_is_known_after_ten_users() -> None:
    assert broken_e_value([False] * 10, [True] * 10, 0.01) > 1000
    assert broken_e_value([False] * 4, [True] * 4, 0.01) < 100


def test_what_fails_as_often_or_less_often_is_no_evidence() -> None:
    assert broken_e_value([True] * 50, [True] * 50, 0.01) < 2
    assert broken_e_value([True] * 50, [False] * 50, 0.01) == 1.0
    assert broken_e_value([], [True] * 50, 0.01) == 1.0


def test_a_wide_margin_asks_for_more() -> None:
    few = [False] * 20, [number % 2 == 0 for number in range(20)]
    assert broken_e_value(*few, 0.01) > broken_e_value(*few, 0.3) >= 1.0
