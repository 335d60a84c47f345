"""A few users with most of the requests, of a ratio's denominator, or of the labels."""

from __future__ import annotations

import pytest

from ekiben.experiments.judging.ramp import RampKind, next_action
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Report
from ekiben.experiments.statistics.sequential import UNBOUNDED
from tests.control.analysis.events import HOUR, KEY, Log, in_variant, metric, metric_of, stored

USERS = 130
MARGIN = metric(kind="ratio", denominator="orders")


def ordered(log: Log, heaviest: float) -> None:
    """Users of both variants with one order each, and one of v2 with many."""
    for number in range(2 * USERS):
        user = f"u{number}"
        log.exposure(user, "treatment" if number % 2 else "control")
        orders = heaviest if number == 1 else 1.0
        log.outcome(orders, user=user, name="orders")
        log.outcome(orders * (2 + number % 3), user=user)


def test_a_bot_with_thousands_of_slow_requests_violates_no_guardrail(log: Log) -> None:
    for number in range(2 * 300):
        log.exposure(f"u{number}", "treatment" if number % 2 else "control")
    for _ in range(3000):
        log.exposure("u1", "treatment", latency_ms=900.0)
    report = log.report(stored(metric()))
    slow = in_variant(report, "slow_rate", "treatment")
    assert slow.mean == pytest.approx(20 * 3000 / 3001 / (299 + 20))
    assert metric_of(report, "slow_rate").states["treatment"] is State.UNCLEAR
    assert [each.requests for each in report.variants] == [300, 3300]


def test_a_ratio_that_a_user_dominates_is_not_judged_and_the_verdict_offers_a_cap(log: Log) -> None:
    ordered(log, heaviest=5000)
    report = log.report(stored(MARGIN, min_users=100))
    found = metric_of(report)
    assert found.states["treatment"] is State.DOMINATED
    assert found.effects["treatment"].absolute is not None
    assert (found.effects["treatment"].interval, found.effects["treatment"].p_value) == (UNBOUNDED, None)
    assert found.series["treatment"] == ()
    assert in_variant(report, variant="treatment").effective_users == pytest.approx(1.05, abs=0.01)
    assert report.verdict.reason == "dominated"
    assert report.verdict.sentence == (
        "Keep running: a few users dominate profit: the 130 users of v2 say as much as 1 equal ones, and "
        "100 are needed. To judge it, give it a cap."
    )


def test_a_ratio_whose_users_are_about_equal_is_judged(log: Log) -> None:
    ordered(log, heaviest=2)
    report = log.report(stored(MARGIN, min_users=100))
    assert metric_of(report).states["treatment"] is State.UNCLEAR
    assert metric_of(report).effects["treatment"].interval.low is not None


def labelled(log: Log, positives: int, labels_of_one: int = 1) -> Report:
    """Users of both variants with a label each, and one of v2 with many; so many of each are positive."""
    for number in range(2 * USERS):
        variant = "treatment" if number % 2 else "control"
        for _ in range(labels_of_one if number == 2 * USERS - 1 else 1):
            prediction = log.exposure(f"u{number}", variant, score=(number * 7 % 100) / 100)
            log.outcome(number // 2 < positives, prediction=prediction, name="repaid")
    return log.report(stored(metric("repaid", "label"), min_users=100))


@pytest.mark.parametrize(("positives", "state"), [(9, State.NO_DATA), (10, State.UNCLEAR)])
def test_an_area_is_judged_with_ten_users_of_each_class(log: Log, positives: int, state: State) -> None:
    found = metric_of(labelled(log, positives), "repaid")
    assert found.states["treatment"] is state
    assert (found.effects["treatment"].interval == UNBOUNDED) == (state is State.NO_DATA)
    assert found.labels[1].roc_auc is not None


def test_an_area_that_one_users_labels_dominate_is_not_judged(log: Log) -> None:
    report = labelled(log, positives=60, labels_of_one=300)
    assert metric_of(report, "repaid").states["treatment"] is State.DOMINATED
    assert report.verdict.why.endswith("To judge it, wait for more users with a label.")


def test_a_cap_makes_a_ratio_that_a_user_dominates_one_that_is_judged(log: Log) -> None:
    ordered(log, heaviest=5000)
    report = log.report(stored(MARGIN | {"cap": 2}, min_users=100))
    found, treated = metric_of(report), in_variant(report, variant="treatment")
    assert found.states["treatment"] is State.UNCLEAR
    each = [2 + number % 3 for number in range(1, 2 * USERS, 2)]
    assert treated.mean == pytest.approx((sum(each) + each[0]) / (USERS + 1))
    without = found.uncapped["treatment"]
    assert without.absolute == pytest.approx(
        (sum(each) + 4999 * each[0]) / (USERS + 4999) - found.variants[0].mean
    )
    assert without.interval == UNBOUNDED


def test_a_cap_cuts_a_users_sum_on_both_sides_and_the_effect_without_it_is_shown(log: Log) -> None:
    for number in range(400):
        log.exposure(f"u{number}", "treatment" if number % 2 else "control")
        for part in (60.0, 70.0) if number % 4 == 1 else (-500.0,) if number % 4 == 3 else ():
            log.outcome(part, user=f"u{number}")
    found = metric_of(log.report(stored(metric(cap=100))))
    assert (found.cap, found.effects["treatment"].absolute) == (100, 0)
    without = found.uncapped["treatment"]
    assert without.absolute == pytest.approx((130 - 500) / 2)
    assert without.interval.low < found.effects["treatment"].interval.low
    assert metric_of(log.report(stored(metric()))).uncapped == {}


def test_what_a_cap_is_chosen_by_is_the_99th_percentile_of_all_users_of_the_control(log: Log) -> None:
    for number in range(400):
        log.exposure(f"u{number}", "treatment" if number % 2 else "control")
        if number % 8 == 0:
            log.outcome(-number, user=f"u{number}")
            log.outcome(number, user=f"u{number}", name="rare") if number < 16 else None
    report = log.report(stored(metric(), metric("rare"), metric("share", "proportion", outcome="profit")))
    assert in_variant(report).p99 == 376  # of 200 users two have more: 392 and 384
    assert [in_variant(report, name).p99 for name in ("rare", "share")] == [None, None]


def broken(log: Log, users: int, **columns: object) -> Report:
    """Users of both variants, and v2 answers all of its own so."""
    for number in range(2 * users):
        treated = number % 2
        log.exposure(
            f"u{number}", "treatment" if treated else "control", at=number, **columns if treated else {}
        )
    return log.report(stored(metric(), ramp={"steps": [100]}), now=HOUR)


@pytest.mark.parametrize(("name", "result"), [("error_rate", "error"), ("fallback_rate", "fallback")])
def test_a_version_that_always_fails_violates_its_guardrail_within_tens_of_users(
    log: Log, name: str, result: str
) -> None:
    report = broken(log, 10, result=result)
    assert metric_of(report, name).states == {"treatment": State.VIOLATED}
    experiment = stored(metric(), ramp={"steps": [100]}).document.experiments[KEY]
    action = next_action(experiment, report, report.at)
    assert (action.kind, action.reason) == (RampKind.ROLL_BACK, "guardrail_violated")


def test_the_first_users_answered_late_violate_nothing_and_neither_do_a_few_failures(log: Log) -> None:
    report = broken(log, 10, latency_ms=900.0)
    assert {each.states["treatment"] for each in report.guardrails} == {State.NO_DATA}
    log.exposure("u1", "treatment", at=50, result="error")  # not the first request of this user
    assert metric_of(log.report(stored(metric())), "error_rate").states["treatment"] is State.NO_DATA
