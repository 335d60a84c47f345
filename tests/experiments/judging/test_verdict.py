from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiben.experiments.judging.states import hold_alpha, metric_state
from ekiben.experiments.judging.verdict import judge
from ekiben.experiments.reports.delays import Delays, VariantDelays
from ekiben.experiments.reports.effect import CohortEffect, Fading, Interval
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.reports.outcomes import LeftOut
from ekiben.experiments.reports.past import Ending, Redeployment, RuleChange
from ekiben.experiments.reports.report import Decision, Report
from ekiben.experiments.reports.srm import Srm
from ekiben.experiments.reports.usable import UsableShare, UsableShares
from ekiben.experiments.statistics.sequential import JUDGED_FROM, confidence_sequence
from tests.experiments.reports import effect, errors, metric, profit, report

MISMATCH = Srm(p_value=1e-6, threshold=0.001, mismatch=True)
CHANGED = Redeployment(variant="treatment", model_version="credit_v2:b", first_at=1.0, acknowledged=False)
WORSE = {"effects": {"treatment": effect(-5.0, -8.0, -2.0)}}


def small(low: float = -1.0, high: float = 2.0, **fields: Any) -> MetricReport:
    """An effect on profit of which 3 or more would matter."""
    known = {"effects": {"treatment": effect((low + high) / 2, low, high)}, "min_effect": 3.0}
    return profit(State.UNCLEAR, **known | fields)


HARMFUL = errors(State.VIOLATED, effects={"treatment": effect(0.031, 0.02, 0.042)})
BIASED = UsableShares(
    (UsableShare("control", 2000, 1800), UsableShare("treatment", 2000, 1000)), 1e-9, 0.001, True
)
LATER = Delays(
    (VariantDelays("control", 400, 0, 86_400.0), VariantDelays("treatment", 300, 300, 345_600.0)),
    24.0, 1e-9, 0.001, True, False,
)  # fmt: skip
UNKNOWN = msgspec.structs.replace(LATER, differ=False, unknown=True)

TABLE = [
    ("not_started", report(status="draft"), Decision.CANNOT_TELL),
    ("ended", report(status="rolled_back"), Decision.ROLLED_BACK),
    ("srm", report(srm=MISMATCH), Decision.CANNOT_TELL),
    ("redeployed", report(redeployments=(CHANGED,)), Decision.CANNOT_TELL),
    ("no_deciding_metric", report(errors()), Decision.CANNOT_TELL),
    ("no_outcomes", report(profit(State.UNCLEAR, mean=0.0), errors()), Decision.CANNOT_TELL),
    ("labels_differ", report(profit(State.NOT_COMPARABLE, usable=BIASED), errors()), Decision.CANNOT_TELL),
    ("delays_differ", report(profit(State.NOT_COMPARABLE, delays=LATER), errors()), Decision.CANNOT_TELL),
    ("too_few_users", report(profit(users=499), errors()), Decision.GO_ON),
    ("too_early", report(days=6.9), Decision.GO_ON),
    ("better", report(), Decision.PROMOTE),
    ("guardrail_violated", report(profit(), HARMFUL), Decision.ROLL_BACK),
    ("worse", report(profit(State.WORSE, **WORSE), errors()), Decision.ROLL_BACK),
    ("guardrail_unclear", report(profit(), errors(State.UNCLEAR)), Decision.GO_ON),
    ("delays_unknown", report(profit(State.NOT_COMPARABLE, delays=UNKNOWN), errors()), Decision.GO_ON),
    ("unclear", report(profit(State.UNCLEAR), errors()), Decision.GO_ON),
    ("not_worse", report(small(), errors(), goal="not_worse"), Decision.PROMOTE),
    ("no_difference", report(small(), errors()), Decision.NO_DIFFERENCE),
    ("not_better", report(small(-9.0), errors()), Decision.NOT_BETTER),
    ("unclear", report(small(-9.0), errors(), goal="not_worse"), Decision.GO_ON),
    ("guardrail_unclear", report(small(), errors(State.UNCLEAR), goal="not_worse"), Decision.GO_ON),
    ("max_days", report(profit(State.UNCLEAR), errors(), max_days=8), Decision.ENDED),
    ("max_days", report(profit(users=499), errors(), max_days=8), Decision.ENDED),
    ("better", report(max_days=8), Decision.PROMOTE),
]


@pytest.mark.parametrize(("reason", "evidence", "decision"), TABLE, ids=[row[0] for row in TABLE])
def test_each_reason_of_the_table_has_its_decision(reason: str, evidence: Report, decision: Decision) -> None:
    verdict = judge(evidence)
    assert (verdict.reason, verdict.decision) == (reason, decision)
    assert verdict.sentence.endswith(".")
    advice = {
        Decision.PROMOTE: "Promote v2",
        Decision.ROLL_BACK: "Roll back",
        Decision.GO_ON: "Keep running",
        Decision.CANNOT_TELL: "Cannot tell",
        Decision.NO_DIFFERENCE: "Stop",
        Decision.NOT_BETTER: "Stop",
        Decision.ENDED: "Stop",
        Decision.PROMOTED: "Promoted",
        Decision.ROLLED_BACK: "Rolled back",
    }
    assert verdict.advice == advice[decision]
    assert verdict.sentence in (verdict.why, f"{verdict.advice}: {verdict.why}")
    assert (verdict.variant is not None) == (decision is Decision.PROMOTE)


def test_a_promotion_of_an_effect_that_fades_says_so() -> None:
    first, later = (CohortEffect(0.0, 1.0, 500, gain, Interval(gain - 1, gain + 1)) for gain in (40.0, -5.0))
    verdict = judge(report(profit(fading={"treatment": Fading(4, first, later)}), errors()))
    assert verdict.decision is Decision.PROMOTE
    assert verdict.sentence.endswith(
        ". But the effect fades: it is 40.0 higher among users of the first 4 days and 5.0 lower among later "
        "ones. It may be one of novelty."
    )


def test_labels_that_differ_excuse_no_violated_guardrail_and_promote_nobody() -> None:
    biased = profit(State.NOT_COMPARABLE, usable=BIASED)
    assert judge(report(biased, HARMFUL)).reason == "guardrail_violated"
    shares = "90.0 % with v1, 50.0 % with v2"
    assert shares in judge(report(biased, errors())).sentence


def test_the_sentence_of_a_promotion_says_what_is_gained_how_surely_and_what_to_do() -> None:
    assert judge(report()).sentence == (
        "Promote v2: profit per user is 18.0 to 34.2 higher (estimate 26.1) with v2 than with v1."
    )


def test_the_sentence_of_a_violation_says_which_by_how_much_and_on_how_many_users() -> None:
    assert judge(report(profit(), HARMFUL)).sentence == (
        "Roll back: the error rate is 2.00 to 4.20 percentage points higher (estimate 3.10) with v2 than "
        "with v1 on 4,000 users, worse than the 1.00 percentage points allowed."
    )


def test_shares_are_compared_in_percentage_points_and_labels_by_their_fit() -> None:
    more = {"effects": {"treatment": effect(0.0123, 0.004, 0.0206)}}
    sold = metric("conversion", {"treatment": State.BETTER}, kind="proportion", mean=0.05, **more)
    assert judge(report(sold)).why == (
        "conversion is 0.40 to 2.06 percentage points higher (estimate 1.23) with v2 than with v1."
    )
    paid = metric("repaid", {"treatment": State.BETTER}, kind="label", mean=0.75, **more)
    assert judge(report(paid)).sentence == (
        "Promote v2: the fit of the scores to repaid is 0.0040 to 0.0206 higher (estimate 0.0123) with v2 "
        "than with v1."
    )


def test_an_acknowledged_redeployment_blocks_nothing() -> None:
    acknowledged = Redeployment("treatment", "credit_v2:b", 1.0, acknowledged=True)
    assert judge(report(redeployments=(acknowledged,))).decision is Decision.PROMOTE


def test_users_are_counted_in_the_variant_with_fewest() -> None:
    few = profit(users={"control": 90_000, "treatment": 499})
    assert judge(report(few, errors())).reason == "too_few_users"


def test_of_several_treatments_the_best_whose_guardrails_hold_is_promoted() -> None:
    states = {"a": State.BETTER, "b": State.BETTER, "c": State.WORSE}
    effects = {"a": effect(3.0, 1.0, 5.0), "b": effect(9.0, 6.0, 12.0), "c": effect(-3.0, -5.0, -1.0)}
    gains = metric("profit", states, effects=effects)
    harms = dict.fromkeys(states, State.HOLDS)
    small = dict.fromkeys(states, effect(0.0, -0.001, 0.001))
    versions = {"a": "v2", "b": "v3", "c": "v4"}

    def verdict(unsure: str | None) -> str | None:
        held = harms | ({unsure: State.UNCLEAR} if unsure else {})
        guard = metric(
            "error_rate", held, effects=small, role=Role.GUARDRAIL, kind="requests", max_worse_by=0.01
        )
        return judge(report(gains, guard, treatments=versions)).variant

    assert verdict(None) == "b"
    assert verdict("b") == "a"


def test_of_several_treatments_the_one_that_is_worse_is_retired_and_the_last_one_rolled_back() -> None:
    states = {"a": State.WORSE, "b": State.UNCLEAR}
    effects = {"a": effect(-3.0, -5.0, -1.0), "b": effect(1.0, -1.0, 3.0)}
    two = report(metric("profit", states, effects=effects), treatments={"a": "v2", "b": "v3"})
    verdict = judge(two)
    assert (verdict.decision, verdict.reason, verdict.variant) == (Decision.RETIRE, "worse", "a")
    assert verdict.sentence == (
        "Retire v2 (a): profit per user is 1.00 to 5.00 lower (estimate 3.00) with v2 (a) than with v1 "
        "(control)."
    )
    left = judge(retired(two, "a"))
    assert (left.decision, left.reason) == (Decision.GO_ON, "unclear")
    assert judge(retired(two, "b")).decision is Decision.ROLL_BACK


def test_a_violated_guardrail_retires_its_treatment_while_another_is_left() -> None:
    states = {"a": State.UNCLEAR, "b": State.UNCLEAR}
    both = dict.fromkeys(states, effect(1.0, -1.0, 3.0))
    harm = {"a": State.HOLDS, "b": State.VIOLATED}
    guard = metric("kept", harm, role=Role.GUARDRAIL, max_worse=0.05, effects=both)
    verdict = judge(report(metric("profit", states, effects=both), guard, treatments={"a": "v2", "b": "v3"}))
    assert (verdict.decision, verdict.reason, verdict.variant) == (Decision.RETIRE, "guardrail_violated", "b")


def test_a_retired_treatment_has_no_say() -> None:
    states = {"a": State.BETTER, "b": State.BETTER}
    effects = {"a": effect(3.0, 1.0, 5.0), "b": effect(9.0, 6.0, 12.0)}
    two = report(
        metric("profit", states, effects=effects, users={"control": 2000, "a": 2000, "b": 3}),
        treatments={"a": "v2", "b": "v3"},
    )
    assert judge(two).reason == "too_few_users"
    assert judge(retired(two, "b")).sentence.startswith("Promote v2: profit per user is 1.00 to 5.00 higher")


def test_for_a_metric_whose_lower_values_are_better_the_smallest_effect_is_the_best() -> None:
    states = {"a": State.BETTER, "b": State.BETTER}
    effects = {"a": effect(-3.0, -5.0, -1.0), "b": effect(-9.0, -12.0, -6.0)}
    days = metric("days", states, effects=effects, better="lower")
    assert judge(report(days, treatments={"a": "v2", "b": "v3"})).variant == "b"


def retired(evidence: Report, variant: str) -> Report:
    variants = tuple(
        msgspec.structs.replace(each, retired=each.variant == variant) for each in evidence.variants
    )
    return msgspec.structs.replace(evidence, variants=variants)


def test_nothing_is_judged_below_the_burn_in() -> None:
    certain = effect(5.0, 4.0, 6.0)
    assert metric_state(Role.DECIDES, "higher", certain, None, None, JUDGED_FROM - 1) is State.NO_DATA
    assert metric_state(Role.DECIDES, "higher", certain, None, None, JUDGED_FROM) is State.BETTER


def test_an_interval_without_ends_is_unclear() -> None:
    for role in Role:
        assert metric_state(role, "higher", effect(5.0), 0.1, 10.0, 1000) is State.UNCLEAR


@pytest.mark.parametrize(
    ("low", "high", "state"),
    [(-0.9, 2.0, State.HOLDS), (-3.0, -1.1, State.VIOLATED), (-1.1, 0.0, State.UNCLEAR)],
)
def test_a_guardrail_is_judged_at_its_margin(low: float, high: float, state: State) -> None:
    known = effect((low + high) / 2, low, high)
    assert metric_state(Role.GUARDRAIL, "higher", known, 0.1, 10.0, 1000) is state
    mirrored = effect(-(low + high) / 2, -high, -low)
    assert metric_state(Role.GUARDRAIL, "lower", mirrored, 0.1, -10.0, 1000) is state


def test_a_margin_that_is_estimated_widens_the_interval_of_a_metric_that_may_rise() -> None:
    known = effect(0.0, -0.99, 0.99)
    assert metric_state(Role.GUARDRAIL, "higher", known, 0.1, 10.0, 1000) is State.HOLDS
    assert metric_state(Role.GUARDRAIL, "lower", known, 0.1, 10.0, 1000) is State.UNCLEAR


@given(
    st.floats(-100, 100),
    st.floats(0.01, 100),
    st.floats(0, 2),
    st.floats(-50, 50),
    st.sampled_from(["higher", "lower"]),
)
def test_turning_the_scale_around_changes_no_state(
    absolute: float, width: float, worse: float, mean: float, better: str
) -> None:
    known = effect(absolute, absolute - width, absolute + width)
    turned = effect(-absolute, -absolute - width, -absolute + width)
    other = "lower" if better == "higher" else "higher"
    for role in Role:
        assert metric_state(role, better, known, worse, mean, 500) is metric_state(
            role, other, turned, worse, -mean, 500
        )


def test_what_has_ended_reads_as_what_was_done() -> None:
    ending = Ending(1_795_000_000.0, "2026-11-18 at 11:06 UTC", "ada", "it earns more", "v2")
    promoted = judge(report(status="promoted", ending=ending))
    assert (promoted.decision, promoted.variant) == (Decision.PROMOTED, "treatment")
    assert promoted.sentence == (
        "v2 was promoted on 2026-11-18 at 11:06 UTC by ada. profit per user is 18.0 to 34.2 higher (estimate "
        "26.1) with v2 than with v1."
    )
    assert judge(report(status="rolled_back")).sentence.startswith("The experiment was rolled back. profit")


def test_no_outcome_that_counts_is_told_with_what_became_of_those_that_came() -> None:
    early = LeftOut("profit: before the user's first exposure", "outcomes", 580, "before_first_exposure")
    late = LeftOut("profit: later than the user's window", "outcomes", 20, "late")
    verdict = judge(report(profit(State.UNCLEAR, mean=0.0), errors(), left_out=(early, late)))
    assert verdict.reason == "no_outcomes"
    assert "600 are left out, 580 of them as profit: before the user's first exposure." in verdict.sentence


def test_a_rule_that_was_changed_in_the_middle_is_told_with_the_verdict() -> None:
    change = RuleChange(1.0, "2026-11-18 at 11:06 UTC", "ada", ("alpha: 0.05 → 0.2", "min_users: 500 → 50"))
    verdict = judge(report(rule_changes=(change, change)))
    assert verdict.decision is Decision.PROMOTE
    assert verdict.sentence.endswith(
        "with v1. Its rule was changed on 2026-11-18 at 11:06 UTC by ada (alpha: 0.05 → 0.2; min_users: "
        "500 → 50) and 1 time before. Evidence from before the change was judged by another rule."
    )


def test_an_experiment_that_finds_nothing_says_to_stop_and_what_it_left_out() -> None:
    assert judge(report(small(), errors())).sentence == (
        "Stop: there is no difference of 3.00 or more, which is what matters. Profit per user is between "
        "1.00 lower and 2.00 higher (estimate 0.50 higher) with v2 than with v1."
    )
    assert judge(report(small(-9.0), errors())).why == (
        "no treatment is 3.00 higher or more, which is what matters. Profit per user is between 9.00 lower "
        "and 2.00 higher (estimate 3.50 lower) with v2 than with v1."
    )
    late = judge(report(small(-9.0, 8.0), errors(), max_days=8))
    assert (
        late.sentence
        == "Stop: 8 days are over, and no difference larger than 9.00 was found in profit per user."
    )


def test_a_share_of_the_control_s_mean_matters_once_that_mean_is_known_well() -> None:
    by_share = small(min_effect=None, min_effect_share=0.3)  # of 10
    far = [
        msgspec.structs.replace(each, std=44.0) for each in by_share.variants
    ]  # 10.2 standard errors from 0
    assert judge(report(msgspec.structs.replace(by_share, variants=tuple(far)))).reason == "no_difference"
    verdict = judge(report(by_share))
    assert verdict.reason == "unclear"
    assert (
        "min_effect is 30 % of the control's mean, which is used once that mean is 10 standard" in verdict.why
    )


def test_every_treatment_has_to_be_no_better_before_the_experiment_stops() -> None:
    states = {"a": State.UNCLEAR, "b": State.UNCLEAR}
    effects = {"a": effect(0.0, -1.0, 1.0), "b": effect(1.0, -2.0, 4.0)}
    two = report(metric("profit", states, effects=effects, min_effect=3.0), treatments={"a": "v2", "b": "v3"})
    assert judge(two).reason == "unclear"
    assert judge(retired(two, "b")).reason == "no_difference"


def test_a_treatment_that_costs_less_may_be_worse_by_less_than_matters() -> None:
    worse = {"effects": {"treatment": effect(-1.5, -2.5, -0.5)}}
    shown = profit(State.WORSE, min_effect=3.0, **worse)
    assert judge(report(shown, errors())).reason == "worse"
    verdict = judge(report(shown, errors(), goal="not_worse"))
    assert (verdict.decision, verdict.reason, verdict.variant) == (
        Decision.PROMOTE, "not_worse", "treatment"
    )  # fmt: skip
    lost = profit(State.WORSE, min_effect=3.0, effects={"treatment": effect(-5.0, -6.0, -4.0)})
    assert judge(report(lost, errors(), goal="not_worse")).reason == "worse"
    open_yet = profit(State.WORSE, min_effect=3.0, effects={"treatment": effect(-2.5, -4.0, -1.0)})
    assert judge(report(open_yet, errors(), goal="not_worse")).decision is Decision.GO_ON


def test_an_absolute_margin_is_not_widened_and_holds_where_the_control_has_a_mean_of_0() -> None:
    known = effect(0.0, -0.99, 0.99)
    for better in ("higher", "lower"):
        state = metric_state(Role.GUARDRAIL, better, known, None, 0.0, 1000, max_worse_by=1.0)
        assert state is State.HOLDS


def test_a_guardrail_holds_at_a_level_of_its_own_and_is_violated_by_the_interval_that_is_shown() -> None:
    shown = confidence_sequence(0.0, 1.0, 4000, 0.05 / 6)
    known = msgspec.structs.replace(effect(0.0, shown.low, shown.high), std_error=1.0, users=4000.0)
    level = hold_alpha(0.05, 1)
    one_sided = confidence_sequence(0.0, 1.0, 4000, 0.1).high
    assert one_sided is not None
    assert shown.high is not None
    assert one_sided < shown.high

    def state(margin: float, hold_at: float | None = level) -> State:
        return metric_state(
            Role.GUARDRAIL, "higher", known, None, 10.0, 1000, max_worse_by=margin, hold_at=hold_at
        )

    assert state(one_sided + 0.01) is State.HOLDS
    assert state(one_sided - 0.01) is State.UNCLEAR
    assert state(one_sided + 0.01, hold_at=None) is State.UNCLEAR
    assert hold_alpha(0.05, 2) == pytest.approx(0.05)
