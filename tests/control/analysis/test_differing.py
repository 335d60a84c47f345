"""Planted experiments whose versions differ on some requests, compared there alone: `only_where`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ekiben.experiments.reports.differing import Differing
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Report
from tests.control.analysis.events import DAY, HOUR, KEY, START, Log, left_out, metric, metric_of, stored

USERS = 400
GAIN = 100.0
VERSIONS = {"control": "v1", "treatment": "v2"}
PROFIT = metric(only_where="decisions_differ")


class Planted:
    """Users with requests, of which a tenth or so differ, and what came of them. Profits are large and
    scattered, and v2 brings `GAIN` more on each request that differs.
    """

    def __init__(
        self,
        log: Log,
        *,
        missing: Mapping[str, float] | None = None,
        differing: Mapping[str, float] | None = None,
        carried: float = 0.0,
        fallen: float = 0.0,
        named_users: bool = False,
    ) -> None:
        rng = np.random.default_rng(7)
        self.rows: list[tuple[int, str, bool, bool, float]] = []  # user, variant, differs, both, value
        for user in range(USERS):
            variant = "treatment" if user % 2 else "control"
            first = rng.uniform(0, 2 * DAY)
            for _ in range(rng.integers(1, 4)):
                differs = rng.random() < (differing or {}).get(variant, 0.1)
                both = rng.random() >= (missing or {}).get(variant, 0.0)
                falls = variant == "treatment" and rng.random() < fallen
                own = variant == "treatment" and not falls
                value = rng.normal(500, 400) + own * (GAIN if differs else carried)
                at = first + rng.uniform(0, 12 * HOUR)
                self.rows.append((user, variant, differs, both, value))
                prediction = self._request(log, f"u{user}", variant, at, differs, both, falls)
                name = {"user": f"u{user}"} if named_users else {"prediction": prediction}
                log.outcome(value, at=at + 60, **name)

    def _request(
        self, log: Log, user: str, variant: str, at: float, differs: bool, both: bool, falls: bool
    ) -> str:
        decisions = {"v1": "yes", "v2": "no" if differs else "yes"}
        served = "v1" if falls else VERSIONS[variant]
        other = "v2" if served == "v1" else "v1"
        prediction = log.exposure(
            user,
            variant,
            at=at,
            version=served,
            decision=decisions[served],
            result="fallback" if falls else "served",
        )
        if both:
            log.shadow(
                prediction,
                0.7 if differs else 0.5,
                0.5,
                event_id=f"{prediction}.{other}",
                at=START + at,
                user_hash=user,
                version=other,
                against=served,
                decision=decisions[other],
                against_decision=decisions[served],
                experiment=KEY,
                phase=1,
            )
        return prediction

    def mean(self, variant: str, *, of_all: bool = False) -> float:
        """Of each user the sum over differing requests with both answers, or over all."""
        mine = [row for row in self.rows if row[1] == variant and (of_all or (row[2] and row[3]))]
        return sum(row[4] for row in mine) / (USERS / 2)

    def share(self, variant: str) -> float:
        """Of the variant's requests with both answers."""
        mine = [row[3] for row in self.rows if row[1] == variant]
        return sum(mine) / len(mine)


def differing(report: Report) -> Differing:
    return metric_of(report).differing["treatment"]


def test_the_effect_is_that_of_differing_requests_over_all_users_and_far_surer_than_of_all(log: Log) -> None:
    planted = Planted(log)
    report = log.report(stored(PROFIT, min_days=0.1, min_users=100))
    shown, found = metric_of(report), differing(report)
    effect = shown.effects["treatment"]
    assert effect.absolute == pytest.approx(planted.mean("treatment") - planted.mean("control"))
    ordinary = planted.mean("treatment", of_all=True) - planted.mean("control", of_all=True)
    assert found.ordinary.absolute == pytest.approx(ordinary)
    truth = GAIN * 2 * 0.1  # two requests a user, a tenth of them differ
    widths = []
    for each in (effect, found.ordinary):
        low, high = each.interval.low, each.interval.high
        assert low is not None
        assert high is not None
        assert low < truth < high
        widths.append(high - low)
    assert widths[0] < widths[1] / 2
    assert (effect.relative, shown.only_where) == (None, "the decisions differ")
    assert shown.series["treatment"][-1].absolute == pytest.approx(effect.absolute)
    assert found.effect == effect


def test_a_report_counts_requests_with_both_answers_and_users_who_met_a_difference(log: Log) -> None:
    planted = Planted(log)
    found = differing(log.report(stored(PROFIT)))
    for counted, variant in ((found.control, "control"), (found.treatment, "treatment")):
        mine = [row for row in planted.rows if row[1] == variant]
        assert (counted.users, counted.requests, counted.both) == (USERS // 2, len(mine), len(mine))
        assert counted.differing == sum(row[2] for row in mine)
        assert counted.met == len({row[0] for row in mine if row[2]})
        assert counted.lacking == 0
    assert [found.answers_missing, found.triggers_differ, found.carry_over] == [False] * 3


def test_answers_that_are_missing_in_one_variant_forbid_a_verdict_and_count_as_the_others(log: Log) -> None:
    planted = Planted(log, missing={"control": 0.2})
    report = log.report(stored(PROFIT, min_days=0.1, min_users=100))
    assert report.verdict.reason == "answers_missing"
    assert "100.00 % of those with v2 have both versions' answers" in report.verdict.sentence
    scaled = planted.mean("treatment") - planted.mean("control") / planted.share("control")
    assert metric_of(report).effects["treatment"].absolute == pytest.approx(scaled)


def test_answers_that_both_variants_lack_forbid_a_verdict_below_95_percent(log: Log) -> None:
    Planted(log, missing={"control": 0.5, "treatment": 0.5})
    assert log.report(stored(PROFIT, min_days=0.1)).verdict.reason == "answers_missing"


def test_more_users_who_meet_a_difference_in_one_variant_forbid_a_verdict(log: Log) -> None:
    Planted(log, differing={"treatment": 0.4, "control": 0.1})
    report = log.report(stored(PROFIT, min_days=0.1, min_users=100))
    assert report.verdict.reason == "triggers_differ"
    assert "met a request on which the decisions differ" in report.verdict.sentence


def test_an_effect_where_the_versions_agree_is_carry_over_and_all_requests_are_compared(log: Log) -> None:
    planted = Planted(log, carried=300.0)
    report = log.report(stored(PROFIT, min_days=0.1, min_users=100))
    ordinary = planted.mean("treatment", of_all=True) - planted.mean("control", of_all=True)
    assert differing(report).carry_over
    assert metric_of(report).effects["treatment"].absolute == pytest.approx(ordinary)
    assert metric_of(report).states["treatment"] is State.BETTER
    assert report.verdict.reason in ("better", "guardrail_unclear")


def test_what_live_answered_in_a_versions_place_counts_by_the_same_two_answers(log: Log) -> None:
    planted = Planted(log, fallen=0.3)
    report = log.report(stored(PROFIT))
    assert differing(report).treatment.share == 1.0
    assert metric_of(report).effects["treatment"].absolute == pytest.approx(
        planted.mean("treatment") - planted.mean("control")
    )


def test_an_outcome_that_names_a_user_is_left_out(log: Log) -> None:
    planted = Planted(log, named_users=True)
    report = log.report(stored(PROFIT))
    assert left_out(report, "outcomes") == {"of_user": len(planted.rows)}
    assert differing(report).ordinary.absolute == 0.0


def test_scores_differ_where_they_are_farther_apart_than_said(log: Log) -> None:
    planted = Planted(log)
    counts = []
    for apart in (0.1, 0.3):
        held = stored(metric(only_where={"scores_differ": apart}))
        found = log.report(held).metrics[0].differing["treatment"]
        counts.append(found.control.differing + found.treatment.differing)
    assert counts == [sum(row[2] for row in planted.rows), 0]


def test_each_treatment_is_compared_where_it_differs_from_the_control(log: Log) -> None:
    versions: dict[str, Any] = {"a": "v1", "b": "v2", "c": "v3"}
    variants = {name: {"version": version, "weight": 100 / 3} for name, version in versions.items()}
    decide = {"v1": (True, True), "v2": (False, True), "v3": (True, False)}
    for user in range(30):
        variant = "abc"[user % 3]
        for kind in (0, 1):  # v2 differs from v1 on the first request of each user, v3 on the second
            served = versions[variant]
            told = {name: str(each[kind]) for name, each in decide.items()}
            prediction = log.exposure(
                f"u{user}", at=0.0, variant="control", version=served, decision=told[served]
            )
            rows = log._held["exposure"]
            rows[-1]["variant"] = variant
            for other in ("v2", "v3") if variant == "a" else ("v1",):
                log.shadow(
                    prediction,
                    None,
                    None,
                    event_id=f"{prediction}.{other}",
                    user_hash=f"u{user}",
                    version=other,
                    against=served,
                    decision=told[other],
                    against_decision=told[served],
                    experiment=KEY,
                    phase=1,
                )
            log.outcome(10 + kind + {"a": 0, "b": 5, "c": 7}[variant], prediction=prediction)
    report = log.report(stored(PROFIT, variants=variants))
    effects = metric_of(report).effects
    assert {name: each.absolute for name, each in effects.items()} == {"b": 5.0, "c": 7.0}
    found = metric_of(report).differing
    assert [each.control.differing for each in found.values()] == [10, 10]
    assert [each.control.both for each in found.values()] == [20, 20]
