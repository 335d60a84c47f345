"""Experiments that come to an end, and treatments that are retired, from event files to the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Decision
from tests.control.analysis.events import DAY, Log, metric, metric_of, stored
from tests.control.analysis.test_numbers import NOW, Population

LIMITS = {"error_rate": 0.5, "fallback_rate": 0.5, "slow_rate": 0.5}


@pytest.fixture(scope="module")
def without_an_effect(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = Log(str(tmp_path_factory.mktemp("log") / "events"))
    Population(log, gain=0.0)
    return log


def verdict(log: Log, **fields: Any) -> Any:
    known = {"min_days": 1, "request_limits": LIMITS} | fields
    least = {"min_effect": known.pop("min_effect")} if "min_effect" in known else {}
    guards = known.pop("guards", ())
    return log.report(stored(metric(**least), *guards, **known), now=NOW)


@pytest.mark.parametrize("least", [5, "25%"])
def test_where_no_effect_matters_there_is_no_difference(without_an_effect: Log, least: object) -> None:
    found = verdict(without_an_effect, min_effect=least).verdict
    assert (found.decision, found.reason) == (Decision.NO_DIFFERENCE, "no_difference")
    assert found.advice == "Stop"


def test_a_goal_of_not_being_worse_promotes_what_costs_less(without_an_effect: Log) -> None:
    found = verdict(without_an_effect, min_effect=5, goal="not_worse").verdict
    assert (found.decision, found.reason, found.variant) == (Decision.PROMOTE, "not_worse", "treatment")


def test_what_runs_out_says_what_was_not_found_and_what_runs_on_what_it_waits_for(
    without_an_effect: Log,
) -> None:
    late = verdict(without_an_effect, max_days=4).verdict
    assert (late.decision, late.reason) == (Decision.ENDED, "max_days")
    assert "4 days are over, and no difference larger than" in late.sentence
    early = verdict(without_an_effect, max_days=30).verdict
    assert early.decision is Decision.GO_ON
    assert "more users" in early.sentence


def test_a_margin_may_be_an_amount(without_an_effect: Log) -> None:
    def state(limit: float) -> State:
        guard = metric("returned", "proportion", better="lower", guardrail={"max_worse_by": limit})
        report = verdict(without_an_effect, guards=[guard])
        assert metric_of(report, "returned").max_worse_by == limit
        return metric_of(report, "returned").states["treatment"]

    assert state(0.3) is State.HOLDS
    assert state(0.001) is State.UNCLEAR


def test_a_retired_treatment_is_no_mismatch_and_has_no_say(log: Log) -> None:
    """The third variant was retired after a day: its users came no more, and those of the others did."""
    for number in range(1500):
        for variant in ("control", "treatment", "other"):
            if variant != "other" or number < 400:
                log.exposure(f"{variant}-{number}", variant, at=number * 60.0)
                log.outcome(
                    1.0 if variant == "other" else number % 7,
                    at=number * 60.0 + 1,
                    user=f"{variant}-{number}",
                )
    three = {
        "control": {"version": "v1", "weight": 34},
        "treatment": {"version": "v2", "weight": 33},
        "other": {"version": "v3", "weight": 33},
    }
    running = log.report(stored(metric(), variants=three, min_days=1), now=5 * DAY)
    assert running.srm is not None
    assert running.srm.mismatch
    held = stored(metric(), variants=three | {"other": three["other"] | {"retired": True}}, min_days=1)
    report = log.report(held, now=5 * DAY)
    assert report.srm is not None
    assert not report.srm.mismatch
    assert [(each.users, each.retired) for each in report.variants] == [
        (1500, False), (1500, False), (400, True)
    ]  # fmt: skip
    assert sum(each.share_asked for each in report.variants) == pytest.approx(1)
    assert report.verdict.reason == "unclear"  # and not that the retired one is worse
    assert metric_of(report).states["other"] is State.WORSE
    width = [each.interval for each in metric_of(report).effects.values()]
    before = [each.interval for each in metric_of(running).effects.values()]
    assert width == before  # no alpha is won back
