"""Outcomes that arrive late, and later in one variant than in the other."""

from __future__ import annotations

import numpy as np
import pytest

from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Report
from tests.control.analysis.events import (
    DAY,
    HOUR,
    START,
    Log,
    in_variant,
    left_out,
    metric,
    metric_of,
    stored,
)

BOUGHT = metric("bought", "proportion")
USERS = 400


def buying(log: Log, delays_days: tuple[float, float], days: float = 8.0, share: float = 0.6) -> None:
    """Users who come over some days; some buy within a day. The two variants' outcomes arrive so late."""
    rng = np.random.default_rng(7)
    for variant, delay in zip(("control", "treatment"), delays_days, strict=True):
        for number in range(USERS):
            came = days * DAY * number / USERS
            log.exposure(f"{variant}-{number}", variant, at=came)
            if rng.random() < share:
                at = came + float(rng.uniform(0, DAY))
                arrives = START + at + delay * DAY
                log.outcome(1.0, at, user=f"{variant}-{number}", name="bought", received_at=arrives)


def judged(log: Log, now: float, **fields: object) -> Report:
    """What was known at a time: what arrived since is not on disk yet."""
    held = log._held["outcome"]
    log._held["outcome"] = [row for row in held if row["received_at"] <= START + now]
    return log.report(stored(BOUGHT | fields, min_users=100, min_days=0), now=now)


def test_outcomes_that_take_longer_in_one_variant_promote_and_roll_back_nothing(log: Log) -> None:
    buying(log, (1.0, 4.0))
    report = judged(log, 9 * DAY)
    found = metric_of(report, "bought")
    assert found.effects["treatment"].interval.high < 0  # they look as if they bought less
    assert found.states["treatment"] is State.NOT_COMPARABLE
    assert (report.verdict.decision, report.verdict.reason) == ("cannot_tell", "delays_differ")
    assert "95 % arrive within 4 days" in report.verdict.sentence
    days = [each.p95_s / DAY for each in found.delays.variants]
    assert days == pytest.approx([1, 4])


def test_an_allowance_cuts_both_variants_alike_and_says_what_it_left_out(log: Log) -> None:
    buying(log, (1.0, 4.0))
    report = judged(log, 9 * DAY, arrives_within=24)
    assert report.verdict.reason == "delays_differ"
    assert in_variant(report, "bought", "treatment").mean == 0
    assert in_variant(report, "bought").users == round(USERS * 7 / 8) + 1  # matured after two days
    late = left_out(report, "outcomes")["arrived_late"]
    assert 0 < late == metric_of(report, "bought").delays.variants[1].late


def test_an_allowance_that_holds_in_both_variants_compares_them(log: Log) -> None:
    buying(log, (1.0, 4.0))
    report = judged(log, 14 * DAY, arrives_within=96)
    found = metric_of(report, "bought")
    assert not found.delays.differ
    assert found.effects["treatment"].interval.low < 0 < found.effects["treatment"].interval.high
    assert in_variant(report, "bought", "treatment").mean == pytest.approx(0.6, abs=0.1)


def test_before_the_slower_outcomes_have_come_nothing_is_decided(log: Log) -> None:
    buying(log, (1.0, 4.0))
    report = judged(log, 4 * DAY)
    assert metric_of(report, "bought").delays.unknown
    assert metric_of(report, "bought").states["treatment"] is State.NOT_COMPARABLE
    assert (report.verdict.decision, report.verdict.reason) == ("go_on", "delays_unknown")


def test_an_import_of_history_counts_and_delays_nobody(log: Log) -> None:
    buying(log, (20.0, 20.0))
    report = judged(log, 30 * DAY)
    assert not metric_of(report, "bought").delays.differ
    assert in_variant(report, "bought", "treatment").mean == pytest.approx(0.6, abs=0.1)
    assert report.verdict.reason == "unclear"


def test_a_label_that_arrives_late_is_cut_too(log: Log) -> None:
    truth = metric("good", "label", arrives_within=1)
    for number in range(4):
        prediction = log.exposure(f"u{number}", score=0.5)
        arrives = START + DAY + (0.5 if number else 2) * HOUR
        log.outcome(number % 2, HOUR, name="good", prediction=prediction, received_at=arrives)
    report = log.report(stored(truth))
    assert metric_of(report, "good").labels[0].labels == 3
    assert left_out(report, "outcomes") == {"arrived_late": 1}
