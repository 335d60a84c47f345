from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.document import Experiment
from ekiben.experiments.judging.plan_inputs import BadPlan, Wish, imagined
from ekiben.experiments.judging.planning import make_plan
from ekiben.experiments.judging.plans import SamplePlan
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.reports.history import History, MetricHistory
from ekiben.experiments.reports.metric import Role
from tests.router.documents import EXPERIMENT, credit

KNOWN = {
    "profit": MetricHistory(2000, 10.0, 20.0, p99=80.0, beyond_p99=0.4),
    "approvals": MetricHistory(2000, 0.02, 0.14),
    "error_rate": MetricHistory(2000, 0.005, 0.08),
    "fallback_rate": MetricHistory(2000, 0.0, 0.0),
    "slow_rate": MetricHistory(2000, 0.01, 0.1),
}
HISTORY = History("2,000 users", KNOWN, users_per_day=10_000)


def experiment(max_worse: float = 0.2, status: str = "draft", **more: Any) -> Experiment:
    """Profit decides, and the rate of approvals, 2 %, is a guardrail."""
    metrics = [
        {"name": "profit", "outcome": "profit", "kind": "mean"},
        {
            "name": "approvals",
            "outcome": "approved",
            "kind": "proportion",
            "guardrail": {"max_worse": max_worse},
        },
    ]
    made = credit(experiment={"status": status, "metrics": metrics, "overrides": {}} | more)
    return parse_document(made).experiments[EXPERIMENT]


def plan(wish: Wish, history: History = HISTORY, **of: Any) -> SamplePlan:
    return make_plan("x", experiment(**of), history, wish)


def test_the_guardrail_that_needs_most_is_named_with_what_a_wider_margin_needs() -> None:
    made = plan(Wish("20%"))
    parts = {part.name: part for part in made.parts}
    assert made.bottleneck == "approvals"
    assert parts["approvals"].users > 10 * parts["profit"].users
    assert made.size.users >= parts["approvals"].users
    wider = parts["approvals"].users_with_wider_margin
    assert wider is not None
    assert wider < parts["approvals"].users / 2
    assert f"The guardrail approvals needs {parts['approvals'].users:,} of them" in made.sentence
    assert f"profit alone {parts['profit'].users:,}" in made.sentence
    assert f"(30 % of the control's in place of 20 %) it would need {wider:,}" in made.sentence


def test_the_guardrails_of_requests_are_counted() -> None:
    made = plan(Wish("20%"))
    assert [part.name for part in made.parts if part.role is Role.GUARDRAIL] == [
        "approvals", "error_rate", "fallback_rate", "slow_rate"
    ]  # fmt: skip
    strict = plan(Wish("20%"), request_limits={"error_rate": 0.0005})
    assert strict.bottleneck == "error_rate"
    assert strict.size.users > made.size.users


def test_a_guardrail_of_which_nothing_is_known_is_named_and_not_counted() -> None:
    made = plan(Wish("20%", users_per_day=1000), History("", {"profit": KNOWN["profit"]}))
    assert made.unknown == ("approvals", "error_rate", "fallback_rate", "slow_rate")
    assert "Nothing is known yet of approvals, error_rate" in made.sentence


def test_the_smallest_effect_of_some_days_is_the_one_whose_plan_takes_them() -> None:
    there = plan(Wish(days=30, users_per_day=5000))
    assert there.size.users <= 29 * 5000
    back = plan(Wish(str(there.effect), users_per_day=5000))
    assert back.size.users == pytest.approx(29 * 5000, rel=0.02)
    fewer_days = plan(Wish(days=25, users_per_day=5000))
    assert fewer_days.effect > there.effect


def test_days_in_which_no_effect_could_be_promoted_say_which_guardrail_needs_more() -> None:
    with pytest.raises(BadPlan, match="the guardrail approvals alone needs"):
        plan(Wish(days=3))


def test_a_draft_is_planned_with_the_users_of_the_plan_and_what_runs_with_its_own() -> None:
    draft, running = (plan(Wish("20%"), status=status) for status in ("draft", "running"))
    assert draft.planned_users == draft.size.users
    assert (draft.fixed_planned_users, running.fixed_planned_users) == (None, 5000)
    assert running.size.users > draft.size.users
    assert draft.users_unless_written == running.size.users
    assert running.users_unless_written is None


def test_without_a_difference_it_ends_by_what_the_deciding_metric_needs_alone() -> None:
    made = plan(Wish("20%"))
    (profit,) = (part for part in made.parts if part.name == "profit")
    assert made.ends.not_better == profit.users
    assert made.ends.no_difference == pytest.approx(1.4 * profit.users, abs=1)
    assert made.ends.no_difference_surely == 2 * profit.users


def test_a_cap_is_suggested_for_a_long_tail_only() -> None:
    assert plan(Wish("20%")).cap == 80
    short = MetricHistory(2000, 10.0, 20.0, p99=60.0, beyond_p99=0.07)
    assert plan(Wish("20%"), History("", KNOWN | {"profit": short}, 1000)).cap is None


def test_an_experiment_that_does_not_exist_has_a_metric_and_two_halves() -> None:
    known = [experiment()]
    made = imagined("credit", "v1", "approvals", known)
    assert made.metrics[0].outcome == "approved"
    assert made.metrics[0].guardrail is None
    assert [variant.weight for variant in made.variants.values()] == [50, 50]
    new = imagined("credit", "v1", "orders:proportion", known)
    assert new.metrics[0].kind.name == "proportion"


@pytest.mark.parametrize(
    ("metric", "why"), [("x:ratio", "denominator"), ("x:median", "must be one of"), (":mean", "name")]
)
def test_a_metric_that_cannot_be_imagined_is_refused(metric: str, why: str) -> None:
    with pytest.raises(BadPlan, match=why):
        imagined("credit", "v1", metric, [])


def test_what_is_not_known_and_not_given_is_asked_for() -> None:
    with pytest.raises(BadPlan, match=r"nothing is known of profit yet.*set models"):
        plan(Wish("5%"), History("", missing="set models.credit.capture"))
    with pytest.raises(BadPlan, match="new users a day"):
        plan(Wish(days=3), History("", KNOWN))
    with pytest.raises(BadPlan, match="say which effect"):
        plan(Wish())
