"""What is known of a model without an experiment: planted predictions of live's users, and their outcomes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from ekiben.control.analysis.history import model_history
from ekiben.experiments.judging.plan_inputs import imagined
from ekiben.experiments.reports.history import History
from tests.control.analysis.events import DAY, HOUR, START, Log

NOW = 20 * DAY


def hashed(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def predict(log: Log, user: str, at: float, **columns: Any) -> str:
    """A captured prediction of live, outside experiments."""
    outside = {"experiment": None, "variant": None, "phase": None, "assigned_by": None}
    sampled = {"depth": "scores", "weight": 1.0}
    return log.exposure(user, at=at, kind="prediction", **outside | sampled | columns)


def history(log: Log, metric: str = "profit") -> History:
    with log.tables() as tables:
        return model_history(tables, imagined("credit", "v1", metric, []), "v1", START + NOW)


def test_mean_spread_and_users_a_day_are_those_of_lives_users(log: Log) -> None:
    values = np.random.default_rng(1).normal(10, 5, 400)
    for number, value in enumerate(values):
        at = number * DAY / 25  # 16 days of them
        prediction = predict(log, hashed(number), at)
        predict(log, hashed(number), at + HOUR, latency_ms=500.0 if number % 4 == 0 else 10.0)
        log.outcome(value - 1, at + 60, prediction=prediction)
        log.outcome(1.0, at + HOUR, user=hashed(number))
        log.outcome(100.0, at + 2 * DAY, user=hashed(number))  # after the window
    found = history(log)
    profit, slow = found.metrics["profit"], found.metrics["slow_rate"]
    assert (profit.users, profit.mean) == (400, pytest.approx(values.mean()))
    assert profit.std == pytest.approx(values.std(ddof=1))
    assert profit.p99 == pytest.approx(np.quantile(values, 0.99))
    assert slow.mean == pytest.approx(1 / 8)
    assert found.users_per_day == pytest.approx(400 / 20, rel=0.01)
    assert "400 users whom v1 served in 20.0 days" in found.source


def test_users_of_other_versions_and_of_before_live_became_live_are_left_out(log: Log) -> None:
    predict(log, hashed(1), 0, version="v0")
    predict(log, hashed(2), -HOUR)  # by v1 in an experiment that made it live
    treated = {"experiment": "x", "assigned_by": "hash", "phase": 1}
    predict(log, hashed(3), DAY, version="v2", variant="treatment", **treated)
    predict(log, hashed(3), 2 * DAY)
    predict(log, hashed(4), DAY, variant="treatment", result="fallback", **treated)
    predict(log, hashed(5), DAY, variant="control", **treated)
    predict(log, hashed(6), DAY)
    assert history(log).metrics["profit"].users == 2


def test_of_a_crowded_sample_the_users_with_all_their_requests_stand_for_everybody(log: Log) -> None:
    users = sorted(hashed(number) for number in range(4000))
    # The sample keeps the lowest quarter of each second's hashes.
    for second in range(200):
        there = users[second::200]
        for user in there[:5]:
            predict(log, user, second * 6 * HOUR / 10, weight=4.0)
    found = history(log)
    assert found.users_per_day is not None
    days = NOW / DAY
    assert found.users_per_day * days == pytest.approx(4000, rel=0.15)


def test_where_nothing_is_captured_it_says_what_to_set(log: Log) -> None:
    log.exposure("u1")
    found = history(log)
    assert (dict(found.metrics), found.users_per_day) == ({}, None)
    assert "models.credit.capture.scores_per_second" in found.missing
