"""Effects by day of first exposure, and what a covariate saves, from event files."""

from __future__ import annotations

import numpy as np
import pytest

from ekiben.control.analysis.days import by_day
from ekiben.control.analysis.metrics import Bucket
from ekiben.experiments.kinds.of_users import Mean
from ekiben.experiments.statistics.moments import Moments
from tests.control.analysis.events import DAY, START, Log, metric, metric_of, stored

NOVELTY = (4.0, 4.0, 4.0, -0.5, -0.5, -0.5, -0.5, -0.5)


def expose(log: Log, gains: tuple[float, ...], users: int = 130, std: float = 3.0) -> None:
    """So many users of each variant on each day, with the day's gain in the treatment."""
    rng = np.random.default_rng(7)
    for day, gain in enumerate(gains):
        for variant in ("control", "treatment"):
            for number in range(users):
                user, at = f"{day}-{variant}-{number}", day * DAY + number
                log.exposure(user, variant, at=at)
                log.outcome(rng.normal(10, std) + gain * (variant == "treatment"), at=at + 60, user=user)


def test_each_day_has_the_effect_of_those_who_came_on_it(log: Log) -> None:
    expose(log, NOVELTY)
    found = metric_of(log.report(stored(metric()), now=20 * DAY)).cohorts["treatment"]
    assert [each.since for each in found] == [(START + day * DAY) // DAY * DAY for day in range(8)]
    assert [each.users for each in found] == [260] * 8
    assert [each.absolute for each in found] == [pytest.approx(gain, abs=1.5) for gain in NOVELTY]


def test_an_effect_that_only_the_first_users_have_is_said_to_fade(log: Log) -> None:
    expose(log, NOVELTY)
    fades = metric_of(log.report(stored(metric()), now=20 * DAY)).fading["treatment"]
    assert fades.days in (2, 4)
    assert fades.first.interval.low > fades.later.interval.high
    assert fades.first.users + fades.later.users == 8 * 260


def test_an_effect_that_lasts_or_grows_does_not_fade(log: Log) -> None:
    expose(log, NOVELTY[::-1])
    assert metric_of(log.report(stored(metric()), now=20 * DAY)).fading == {}


def test_a_fall_is_one_in_the_direction_that_is_good(log: Log) -> None:
    expose(log, NOVELTY)
    assert metric_of(log.report(stored(metric(better="lower")), now=20 * DAY)).fading == {}


def test_days_with_few_users_are_taken_together_and_the_last_wait(log: Log) -> None:
    expose(log, (1.0,) * 7, users=40)
    found = metric_of(log.report(stored(metric()), now=20 * DAY)).cohorts["treatment"]
    assert [(each.until - each.since) / DAY for each in found] == [3, 3]
    assert [each.users for each in found] == [240, 240]


def test_stretches_of_several_days_stay_whole() -> None:
    users = Moments(200, 200.0, 500.0)
    moments = {
        Bucket(variant, since * DAY, (since + 3) * DAY, 99 * DAY): users
        for variant in (0, 1)
        for since in (0, 3, 6)
    }
    found = by_day(Mean(), moments, 1, 0.05)
    assert [(each.since / DAY, each.until / DAY) for each in found] == [(0, 3), (3, 6), (6, 9)]


def test_a_covariate_that_explains_half_of_the_variance_saves_half_of_the_users(log: Log) -> None:
    rng = np.random.default_rng(3)
    for variant in ("control", "treatment"):
        for number in range(800):
            user, habit = f"{variant}-{number}", rng.normal(0, 1)
            log.exposure(user, variant, at=10 * DAY)
            log.outcome(habit, at=9 * DAY, user=user)
            log.outcome(habit + rng.normal(0, 1), at=10 * DAY + 60, user=user)
    report = log.report(stored(metric(), metric("cuped", outcome="profit", covariate="profit")), now=20 * DAY)
    assert metric_of(report, "cuped").saved["treatment"] == pytest.approx(0.5, abs=0.06)
    assert metric_of(report).saved == {}
