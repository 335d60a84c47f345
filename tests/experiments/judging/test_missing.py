"""What a verdict to keep running says that it waits for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ekiben.experiments.judging.missing import users_a_day
from ekiben.experiments.judging.verdict import judge
from ekiben.experiments.reports.effect import Effect, Interval, Point
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.statistics.sample_size import growth
from ekiben.experiments.statistics.sequential import confidence_sequence, half_width
from tests.experiments.reports import errors, metric, profit, report

DAY = 86_400.0


def known(absolute: float, std_error: float = 1.0, users: float = 4000.0) -> Effect:
    interval = confidence_sequence(absolute, std_error, users, 0.05)
    return Effect(absolute, interval, None, Interval(None, None), None, None, std_error, users)


def unclear(absolute: float, **fields: Any) -> MetricReport:
    """Profit of 4,000 users, of whom 1,200 came in the last of four days."""
    points = tuple(
        Point(at=day * DAY, users=users, absolute=absolute, interval=Interval(None, None))
        for day, users in ((1, 900), (2, 1900), (3, 2800), (4, 4000))
    )
    effects = {"treatment": known(absolute)}
    return profit(State.UNCLEAR, effects=effects, series={"treatment": points}, **fields)


def test_users_a_day_are_those_of_the_last_day() -> None:
    assert users_a_day(report(unclear(1.0))) == 1200
    assert users_a_day(report(profit(State.UNCLEAR))) == 500  # 4,000 in 8 days, where there is no series
    assert users_a_day(report(profit(State.UNCLEAR), days=0.2)) is None


def test_growth_brings_the_end_of_the_interval_to_where_it_is_asked_for() -> None:
    factor = growth(1.0, 4000, 2.0, 0.05)
    assert half_width(1.0 / factor**0.5, 4000 * factor, 0.05) == pytest.approx(2.0, rel=1e-6)
    assert growth(1.0, 4000, 9.0, 0.05) == 1.0
    assert growth(1.0, 4000, 0.0, 0.05) == growth(0.0, 4000, 1.0, 0.05) == float("inf")


def test_an_unclear_metric_says_how_many_users_and_days_settle_it() -> None:
    verdict = judge(report(unclear(2.0), errors()))
    assert verdict.sentence.startswith("Keep running: profit per user is between 1.04 lower and 5.04 higher")
    assert verdict.sentence.endswith(
        "not settled yet. About 5,300 more users, 4.5 days at today's 1,200 a day, would settle it if the "
        "effect stays as it is."
    ), verdict.sentence


def test_what_is_near_0_is_settled_sooner_by_the_smallest_effect_that_matters() -> None:
    alone = judge(report(unclear(0.001), errors())).sentence
    assert alone.endswith("It cannot be said yet how many users that takes.")
    with_least = judge(report(unclear(0.001, min_effect=2.0), errors())).sentence
    assert "About 5,400 more users" in with_least


def test_an_open_guardrail_says_what_it_needs_and_one_that_never_holds_says_what_to_write() -> None:
    kept = metric(
        "kept",
        {"treatment": State.UNCLEAR},
        effects={"treatment": known(0.0)},
        role=Role.GUARDRAIL,
        max_worse_by=1.5,
    )
    verdict = judge(report(profit(), kept))
    assert verdict.reason == "guardrail_unclear"
    assert "would settle that if the effect stays as it is" in verdict.sentence
    nothing = msgspec.structs.replace(
        kept,
        max_worse=0.1,
        max_worse_by=None,
        variants=tuple(msgspec.structs.replace(each, mean=0.0) for each in kept.variants),
    )
    assert judge(report(profit(), nothing)).sentence.endswith(
        '"kept" never holds: its max_worse is a share of the control\'s mean, which is 0. Write max_worse_by.'
    )


def test_the_minima_say_how_much_is_left() -> None:
    assert judge(report(days=5.0)).why == "only 5 days of at least 7 days are over, 2 days are left."
    assert judge(report(profit(users=400), errors())).why == (
        "only 400 of the 500 users that each variant needs have completed their 24 h. It takes about 200 "
        "more users, 9.6 h at today's 500 a day."
    )
