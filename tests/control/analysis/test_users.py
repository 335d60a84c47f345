"""Who counts: users by assignment, from their first exposure on."""

from __future__ import annotations

import numpy as np
import pytest

from ekiben.control.analysis.analysing import analyse
from ekiben.experiments.reports.past import Past, Step, StepUsers
from tests.control.analysis.events import (
    DAY,
    HOUR,
    KEY,
    START,
    Log,
    in_variant,
    left_out,
    metric,
    metric_of,
    stored,
)


def test_a_user_counts_once_however_many_requests_came(log: Log) -> None:
    for _ in range(5):
        log.exposure("u1")
    log.exposure("u2", "treatment")
    report = log.report(stored(metric()))
    assert [(each.users, each.requests) for each in report.variants] == [(1, 5), (1, 1)]
    assert in_variant(report).users == 1


def test_the_first_exposure_opens_the_window_and_a_later_one_moves_nothing(log: Log) -> None:
    log.exposure("u1", at=20 * HOUR)
    log.exposure("u1", at=0)
    log.outcome(5, at=23 * HOUR, user="u1")
    log.outcome(100, at=25 * HOUR, user="u1")
    assert in_variant(log.report(stored(metric()))).mean == 5


def test_users_whose_windows_close_now_and_just_before_all_count(log: Log) -> None:
    for number, at in enumerate((0, DAY - 10, DAY)):
        log.exposure(f"u{number}", at=at)
        log.outcome(10**number, at=at + 1, user=f"u{number}")
    report = log.report(stored(metric()), now=2 * DAY)  # where a point of the series ends
    assert (in_variant(report).users, in_variant(report).mean) == (3, 37)


def test_a_user_in_two_variants_is_left_out_and_counts_for_the_split_where_it_came_first(log: Log) -> None:
    log.exposure("u1", "control", at=5)
    log.exposure("u1", "treatment", at=1)
    log.exposure("u2", "control", result="error")
    log.outcome(7, at=10, user="u1")
    report = log.report(stored(metric()))
    assert [each.users for each in report.variants] == [1, 1]
    assert [in_variant(report, variant=name).users for name in ("control", "treatment")] == [1, 0]
    assert in_variant(report, "error_rate").mean == 1
    assert left_out(report)["seen in two variants"] == 1


def test_what_an_override_assigned_is_counted_and_left_out(log: Log) -> None:
    log.exposure("qa", "treatment", assigned_by="override")
    log.exposure("qa", "treatment", assigned_by="override")
    log.exposure("u1")
    log.outcome(7, user="qa")
    report = log.report(stored(metric()))
    assert [each.users for each in report.variants] == [1, 0]
    assert report.overrides == 2
    assert left_out(report)["assigned by an override"] == 1


def test_users_who_met_fallbacks_or_errors_stay_in_their_variant(log: Log) -> None:
    log.exposure("u1", "treatment", result="fallback", version="v1", model_version="credit_v1:1")
    log.exposure("u2", "treatment", result="error", model_version=None, score=None)
    log.outcome(4, user="u1")
    log.outcome(2, user="u2")
    report = log.report(stored(metric()))
    assert in_variant(report, variant="treatment").mean == 3


def test_refused_requests_are_shown_apart_and_are_no_errors(log: Log) -> None:
    log.exposure("u1", "treatment", result="refused", status=422, model_version=None, score=None)
    log.exposure("u1", "treatment")
    log.exposure("u2", "treatment", result="error", status=502, model_version=None, score=None)
    report = log.report(stored(metric()))
    assert [(each.requests, each.refused) for each in report.variants] == [(0, 0), (3, 1)]
    assert in_variant(report, "error_rate", "treatment").mean == pytest.approx(1 / 3)


def test_another_phase_and_another_experiment_are_not_this_one(log: Log) -> None:
    log.exposure("u1", phase=2)
    log.exposure("u2", experiment="another")
    log.exposure("u3", experiment=None, variant="control", assigned_by=None, phase=None)
    log.exposure("u4")
    assert [each.users for each in log.report(stored(metric())).variants] == [1, 0]


def test_an_experiment_that_nobody_has_seen_has_a_report(log: Log) -> None:
    report = log.report(stored(metric(), metric("ok", "label")))
    assert (report.started_at, report.srm, [each.users for each in report.variants]) == (None, None, [0, 0])
    assert [each.name for each in report.metrics[2:]] == ["error_rate", "fallback_rate", "slow_rate"]
    assert report.verdict.reason == "too_few_users"


def test_the_split_is_tested_before_anything_is_left_out(log: Log) -> None:
    for number in range(600):
        log.exposure(f"u{number}", "control" if number % 3 else "treatment")
        log.exposure(f"u{number}", "treatment", at=60)  # everyone crosses
    report = log.report(stored(metric()))
    assert report.srm is not None
    assert report.srm.mismatch
    assert [each.share_seen for each in report.variants] == pytest.approx([2 / 3, 1 / 3])
    assert report.verdict.reason == "srm"


def test_the_guardrails_of_requests_are_ratios_over_users(log: Log) -> None:
    rng = np.random.default_rng(5)
    counts: dict[str, list[tuple[int, int, int, int]]] = {"control": [], "treatment": []}
    for user in range(300):
        variant = "treatment" if user % 2 else "control"
        results = rng.choice(["served", "fallback", "error"], p=[0.8, 0.15, 0.05], size=rng.integers(1, 8))
        latencies = rng.uniform(0, 220, size=len(results))
        for result, latency in zip(results, latencies, strict=True):
            log.exposure(f"u{user}", variant, result=str(result), latency_ms=float(latency))
        counts[variant].append(
            (
                len(results),
                int((results == "error").sum()),
                int((results == "fallback").sum()),
                int((latencies > 200).sum()),
            )
        )
    report = log.report(stored())
    for place, name in enumerate(("error_rate", "fallback_rate", "slow_rate"), start=1):
        variances = []
        for variant, users in counts.items():
            requests, bad = (np.array([each[column] for each in users], float) for column in (0, place))
            rate = bad.sum() / requests.sum()
            variances.append((bad - rate * requests).var(ddof=1) / requests.mean() ** 2 / len(requests))
            found = in_variant(report, name, variant)
            assert found.mean == pytest.approx(rate)
            assert found.std == pytest.approx(np.sqrt(variances[-1] * len(requests)))
        effect = metric_of(report, name).effects["treatment"]
        assert effect.absolute == pytest.approx(
            in_variant(report, name, "treatment").mean - in_variant(report, name).mean
        )


def test_guardrails_of_requests_do_not_wait_for_a_window(log: Log) -> None:
    log.exposure("u1", at=0)
    report = log.report(stored(metric()), now=60)
    assert in_variant(report, "error_rate").users == 1
    assert in_variant(report).users == 0


def test_a_version_that_answers_under_another_tag_is_told_and_can_be_acknowledged(log: Log) -> None:
    log.exposure("u1", "treatment", at=0)
    log.exposure("u2", "treatment", at=DAY, model_version="credit_v2:2")
    log.exposure("u3", "treatment", at=1, version="v1", model_version="credit_v1:1", result="fallback")
    log.exposure("u4", "control", at=2)
    report = log.report(stored(metric()))
    (change,) = report.redeployments
    assert (change.variant, change.model_version, change.acknowledged) == ("treatment", "credit_v2:2", False)
    assert change.first_at == pytest.approx(report.started_at + DAY)
    assert report.variants[1].model_versions == ("credit_v2:1", "credit_v2:2")
    assert report.verdict.reason == "redeployed"
    (change,) = log.report(stored(metric(), acknowledged_model_versions=["credit_v2:2"])).redeployments
    assert change.acknowledged


def test_a_steps_users_are_those_who_joined_since_coverage_rose_and_whose_window_is_over(log: Log) -> None:
    for at, name in ((0, "before"), (HOUR, "first"), (2 * HOUR, "second"), (30 * HOUR, "last")):
        for variant in ("control", "treatment"):
            log.exposure(f"{name}-{variant}", variant, at=at)
    log.exposure("before-control", at=2 * HOUR)  # who comes back has not joined now
    guarded = metric("kept", guardrail={"max_worse": 0.1})
    held = stored(metric(window_hours=100), guarded, ramp={"steps": [100]})
    step = Step(began=START + 2 * HOUR, widened=START + HOUR)
    log.write()
    with log.tables() as tables:
        found = analyse(tables, KEY, held, START + 40 * HOUR, Past(step=step))
    assert found.step == StepUsers(began=START + 2 * HOUR, matured={"control": 2, "treatment": 2})
    assert found.last_exposure_at == START + 30 * HOUR


def test_the_split_is_what_the_buckets_hold_and_an_earlier_coverage_s_users_are_no_mismatch(
    log: Log,
) -> None:
    for number in range(1100):
        log.exposure(f"u{number}", "treatment" if number % 11 == 0 else "control")
    weights = {"control": {"version": "v1", "weight": 95}, "treatment": {"version": "v2", "weight": 5}}
    log.write()
    with log.tables() as tables:
        small = analyse(tables, KEY, stored(variants=weights, coverage=0.1), START + DAY)
        large = stored(variants=weights, coverage=50)
        later = analyse(tables, KEY, large, START + DAY, Past(coverages=small.coverages))
        never = analyse(tables, KEY, large, START + DAY)
    assert small.variants[1].share_asked == pytest.approx(1 / 11)
    assert [each.srm.mismatch for each in (small, later, never) if each.srm is not None] == [
        False,
        False,
        True,
    ]
    assert later.coverages == (0.1, 50)
