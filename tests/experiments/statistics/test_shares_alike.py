from __future__ import annotations

import pytest

from ekiben.experiments.statistics.effects import effect, proportion
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.shares_alike import ALIKE_ALPHA, alike_p_value


def test_shares_differ_where_the_interval_of_their_difference_leaves_0_out() -> None:
    pair = proportion(Moments(1000, 700.0, 700.0)), proportion(Moments(1000, 600.0, 600.0))
    interval = effect(*pair, ALIKE_ALPHA).interval
    assert interval.high is not None
    assert (alike_p_value([(700, 1000), (600, 1000)]) < ALIKE_ALPHA) == (interval.high < 0)


@pytest.mark.parametrize("counts", [[(0, 99), (99, 99)], [(0, 0), (0, 5000)], [(3, 5000)]])
def test_too_few_users_differ_in_nothing(counts: list[tuple[int, int]]) -> None:
    assert alike_p_value(counts) == 1


def test_every_comparison_more_makes_a_p_value_larger() -> None:
    alone = alike_p_value([(700, 1000), (640, 1000)])
    assert alike_p_value([(700, 1000), (640, 1000), (700, 1000)]) == pytest.approx(2 * alone)
    assert alike_p_value([(700, 1000), (640, 1000)], tests=3) == pytest.approx(3 * alone)


def test_a_tenth_and_a_seventh_of_ten_thousand_users_differ_and_too_few_users_say_nothing() -> None:
    assert alike_p_value([(1000, 10_000), (1010, 10_000)]) > 0.5
    assert alike_p_value([(1000, 10_000), (1500, 10_000)]) < 1e-6
    assert alike_p_value([(0, 99), (99, 99)]) == 1
