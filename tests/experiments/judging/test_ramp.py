from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ekiben.experiments.document import Experiment
from ekiben.experiments.judging.ramp import RampAction, RampKind, next_action
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.reports.past import RuleChange, StepUsers
from ekiben.experiments.reports.report import Report
from tests.experiments.documents import credit_document
from tests.experiments.judging.test_verdict import CHANGED, HARMFUL, MISMATCH, WORSE, retired, small
from tests.experiments.reports import effect, errors, metric, profit, report

RAMP = {"steps": [2, 10, 50, 100], "every": "30m", "min_users_per_step": 500}
SINCE = 1000.0
LATE = SINCE + 1800
CHANGE = RuleChange(at=1.0, moment="2026-11-18 at 11:06 UTC", who="ada", lines=("alpha: 0.05 → 0.2",))


def experiment(coverage: float = 10, ramp: dict[str, Any] | None = RAMP, **fields: Any) -> Experiment:
    metrics = [{"name": "profit", "outcome": "profit", "kind": "mean"}]
    known = {"coverage": coverage, "metrics": metrics, "ramp": ramp} | fields
    document = credit_document(**{key: value for key, value in known.items() if value is not None})
    return document.experiments["credit-net"]


def act(coverage: float = 10, evidence: Report | None = None, now: float = LATE, **fields: Any) -> RampAction:
    return next_action(experiment(coverage, **fields), evidence or report(), now)


def then_promote() -> dict[str, Any]:
    return RAMP | {"then": "promote"}


def few(users: int) -> Report:
    """Many users, of whom so few of v1 joined in this step."""
    return report(step=StepUsers(began=SINCE, matured={"control": users, "treatment": 5000}))


def two_treatments(bad: str, state: State = State.UNCLEAR, guard: State = State.HOLDS) -> Report:
    """Two treatments, of which one has that state or that guardrail."""
    good = {"a": State.UNCLEAR, "b": State.UNCLEAR}
    effects = {name: effect(1.0, -2.0, 4.0) for name in good}
    held = metric(
        "kept",
        dict.fromkeys(good, State.HOLDS) | {bad: guard},
        effects=effects,
        role=Role.GUARDRAIL,
        max_worse=0.05,
    )
    return report(
        metric("profit", good | {bad: state}, effects=effects), held, treatments={"a": "v2", "b": "v3"}
    )


NOTHING = report(small(-9.0), errors())
LATE_AND_UNCLEAR = report(profit(State.UNCLEAR), errors(), max_days=8)


@pytest.mark.parametrize(
    ("reason", "kind", "action"),
    [
        ("no_ramp", RampKind.DONE, act(ramp=None)),
        ("not_running", RampKind.WAIT, act(status="paused")),
        ("other_phase", RampKind.WAIT, act(evidence=report(phase=2))),
        ("guardrail_violated", RampKind.ROLL_BACK, act(evidence=report(profit(), HARMFUL))),
        ("srm", RampKind.WAIT, act(evidence=report(srm=MISMATCH))),
        ("redeployed", RampKind.WAIT, act(evidence=report(redeployments=(CHANGED,)))),
        ("worse", RampKind.ROLL_BACK, act(evidence=report(profit(State.WORSE, **WORSE), errors()))),
        ("first_step", RampKind.RAISE, act(1)),
        ("too_early", RampKind.WAIT, act(now=LATE - 1)),
        ("no_step_yet", RampKind.WAIT, act(evidence=report(step=None))),
        ("no_traffic", RampKind.WAIT, act(evidence=report(last_exposure_at=10_000.0 - 181))),
        ("next_step", RampKind.RAISE, act(evidence=report(last_exposure_at=10_000.0 - 180))),
        ("too_few_users", RampKind.WAIT, act(evidence=few(499))),
        ("next_step", RampKind.RAISE, act(evidence=few(500))),
        ("better", RampKind.PROMOTE, act(100, ramp=then_promote())),
        ("rule_changed", RampKind.WAIT, act(100, report(rule_changes=(CHANGE,)), ramp=then_promote())),
        ("too_early", RampKind.WAIT, act(100, report(days=2.0, at=SINCE), ramp=then_promote())),
        ("last_step", RampKind.DONE, act(100)),
        ("not_better", RampKind.ROLL_BACK, act(evidence=NOTHING, ramp=then_promote())),
        ("not_better", RampKind.DONE, act(evidence=NOTHING)),
        ("max_days", RampKind.ROLL_BACK, act(evidence=LATE_AND_UNCLEAR, ramp=then_promote())),
        ("worse", RampKind.RETIRE, act(evidence=two_treatments("b", State.WORSE))),
        ("guardrail_violated", RampKind.RETIRE, act(evidence=two_treatments("b", guard=State.VIOLATED))),
        (
            "guardrail_violated",
            RampKind.ROLL_BACK,
            act(evidence=retired(two_treatments("b", guard=State.VIOLATED), "a")),
        ),
    ],
)
def test_each_reason_of_the_table_has_its_action(reason: str, kind: RampKind, action: RampAction) -> None:
    assert (action.reason, action.kind) == (reason, kind)
    assert action.sentence.endswith(".")


def test_coverage_rises_to_the_next_larger_step_from_wherever_it_stands() -> None:
    risen = [act(coverage).coverage for coverage in (0.5, 2, 7, 10, 49, 50)]
    assert risen == [2, 10, 10, 50, 50, 100]


def test_too_little_traffic_says_how_many_users_are_missing() -> None:
    assert act(evidence=few(300)).sentence == (
        "Step 2 of 4 (10 %) waits for 200 users: v1 has 300 of 500 who joined in this step and whose window "
        "has closed."
    )


def test_without_an_exposure_since_the_step_began_the_ramp_says_that_there_is_no_traffic() -> None:
    quiet = act(evidence=report(last_exposure_at=10_000.0 - 720))
    assert quiet.sentence == "Step 2 of 4 (10 %) waits for traffic. No user has been exposed for 12 min."


def test_a_violation_rolls_back_before_the_minima_and_whatever_the_split() -> None:
    harmful = report(profit(users=150), HARMFUL, days=0.1, srm=MISMATCH, redeployments=(CHANGED,))
    action = act(evidence=harmful, now=SINCE)
    assert action.kind is RampKind.ROLL_BACK
    assert "2.00 to 4.20 percentage points higher (estimate 3.10) with v2" in action.sentence
    assert "on 4,000 users" in action.sentence


def test_a_guardrail_that_the_ramp_does_not_name_does_not_roll_back() -> None:
    assert act(evidence=report(profit(), HARMFUL), ramp=RAMP | {"guardrails": ["slow_rate"]}).kind is (
        RampKind.RAISE
    )


def test_after_the_last_step_a_guardrail_that_the_ramp_does_not_name_rolls_back_too() -> None:
    named = then_promote() | {"guardrails": ["slow_rate"]}
    action = act(100, report(profit(State.UNCLEAR), HARMFUL), ramp=named)
    assert (action.kind, action.reason) == (RampKind.ROLL_BACK, "guardrail_violated")


def test_an_unclear_guardrail_lets_coverage_rise() -> None:
    assert act(evidence=report(profit(), errors(State.UNCLEAR))).kind is RampKind.RAISE


def test_a_report_that_is_late_does_not_count_time_that_it_has_not_seen() -> None:
    assert act(evidence=report(at=SINCE + 60), now=SINCE + 9000).reason == "too_early"


def test_after_the_last_step_promotion_waits_for_a_verdict() -> None:
    unclear = report(profit(State.UNCLEAR, effects={"treatment": effect(1.0, -2.0, 4.0)}), errors())
    action = act(100, unclear, ramp=then_promote())
    assert (action.kind, action.reason, action.coverage) == (RampKind.WAIT, "unclear", 100)
    assert "between 2.00 lower and 4.00 higher" in action.sentence


def test_promotion_names_the_treatment() -> None:
    assert act(100, ramp=then_promote()).variant == "treatment"


def test_a_ramp_names_the_treatment_that_it_retires_and_goes_on_with_the_others() -> None:
    harmful = two_treatments("b", guard=State.VIOLATED)
    action = act(evidence=harmful, now=SINCE)
    assert (action.kind, action.variant, action.coverage) == (RampKind.RETIRE, "b", 10)
    assert action.sentence.startswith("v3 (b) is retired: kept per user is")
    step = StepUsers(began=SINCE, matured={"control": 5000, "a": 5000, "b": 3})
    left = retired(msgspec.structs.replace(harmful, step=step), "b")
    assert act(evidence=left).kind is RampKind.RAISE
