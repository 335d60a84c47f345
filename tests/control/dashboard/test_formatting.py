"""How the pages write numbers."""

from __future__ import annotations

import pytest

from ekiben.control.dashboard import formatting as f
from ekiben.experiments.reports.effect import Interval


def plain(text: str) -> str:
    """With an ordinary minus and blank."""
    return text.replace("\N{MINUS SIGN}", "-").replace("\N{NARROW NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (26.11, "26.1"), (1.234, "1.23"), (0.0137, "0.0137"), (-3.0, "-3.00"), (0.0, "0")],
)
def test_a_number_has_three_digits_that_say_something(value: float, text: str) -> None:
    assert plain(f.number(value)) == text


def test_what_is_not_known_is_a_dash() -> None:
    unknown = [f.number(None), f.percent(None), f.p_value(None), f.milliseconds(None), f.duration(None)]
    assert {*unknown, f.moment(None), f.change("mean", None)} == {"\N{EN DASH}"}


def test_a_number_that_rounds_to_zero_has_no_sign() -> None:
    assert f.number(-0.0004, 2) == "0.00"
    assert f.number(0.0004, 2, signed=True) == "0.00"


def test_an_effect_has_as_many_decimals_as_the_ends_of_its_interval() -> None:
    interval = Interval(-0.42, 118.3)
    assert plain(f.change("mean", 26.114, interval)) == "+26"
    assert plain(f.change_interval("mean", interval, 26.114)) == "0 to +118"


def test_a_difference_of_shares_is_in_percentage_points() -> None:
    interval = Interval(-0.0135, 0.0089)
    assert plain(f.change("proportion", -0.0023, interval)) == "-0.23 pp"
    assert plain(f.change_interval("requests", interval, -0.0023)) == "-1.35 to +0.89 pp"


def test_an_end_that_is_not_known_is_infinite() -> None:
    assert plain(f.change_interval("mean", Interval(None, 2.0))) == "-∞ to +2.00"
    assert plain(f.relative_interval(Interval(0.1, None))) == "+10.0 to +∞ %"


def test_small_shares_keep_a_digit_that_says_something() -> None:
    assert plain(f.percent(0.4193)) == "41.9 %"
    assert plain(f.percent(0.00064)) == "0.064 %"
    assert plain(f.percent(0.0)) == "0.0 %"


def test_a_tiny_p_value_says_no_more_than_that_it_is_tiny() -> None:
    assert plain(f.p_value(1e-12)) == "< 0.0001"
    assert f.p_value(0.0321) == "0.0321"
    assert f.p_value(1.0) == "1.00"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (59.6, "1 min"),
        (725.0, "12 min"),
        (8_000.0, "2.2 h"),
        (270_000.0, "3.1 days"),
    ],
)
def test_a_duration_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert plain(f.duration(seconds)) == text
