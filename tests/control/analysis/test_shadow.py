"""A shadow version beside the versions that answered."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from ekiben.control.analysis.shadow import shadow_reports
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.state.documents.document import Stored
from tests.control.analysis.events import DAY, START, Log, stored

SHADOWED = stored(shadow={"v3": 100})


def reports(log: Log, held: Stored = SHADOWED, now: float = DAY) -> list[ShadowReport]:
    with log.tables() as tables:
        return shadow_reports(tables, held, START + now)


def test_agreement_and_differences_are_those_of_the_pairs(log: Log) -> None:
    rng = np.random.default_rng(2)
    served = rng.beta(2, 3, 500).round(3)
    shadowed = np.clip(served + rng.normal(0.05, 0.2, 500), 0, 1).round(3)
    for number, (one, other) in enumerate(zip(served, shadowed, strict=True)):
        agreed = bool((one >= 0.5) == (other >= 0.5))
        times = {"latency_ms": float(number), "against_latency_ms": 2.0 * number}
        log.shadow(f"p{number}", other, one, agreed=agreed, **times)
    (found,) = reports(log)
    same = ((served >= 0.5) == (shadowed >= 0.5)).mean()
    assert (found.model, found.version, found.against, found.compared) == ("credit", "v3", "v1", 500)
    assert found.agreement == pytest.approx(same)
    assert found.agreement_interval.low < same < found.agreement_interval.high
    assert found.mean_difference == pytest.approx((shadowed - served).mean())
    assert found.mean_absolute_difference == pytest.approx(abs(shadowed - served).mean())
    assert found.ks_distance == pytest.approx(scipy.stats.ks_2samp(shadowed, served).statistic)
    assert found.latency_ms == pytest.approx({"p50": 249.5, "p95": 474.05, "p99": 494.01})
    assert found.against_latency_ms == pytest.approx({"p50": 499, "p95": 948.1, "p99": 988.02})
    counts, edges = np.histogram(shadowed - served, bins=21, range=(-1, 1))
    assert [each.count for each in found.difference] == list(counts)
    assert [each.low for each in found.difference] == pytest.approx(list(edges[:-1]))


def test_each_version_that_answered_is_compared_apart(log: Log) -> None:
    log.shadow("p1", 0.4, 0.5)
    log.shadow("p2", 0.4, 0.6, against="v2", agreed=False)
    assert [(each.against, each.agreement) for each in reports(log)] == [("v1", 1.0), ("v2", 0.0)]


def test_versions_without_scores_still_agree_or_not(log: Log) -> None:
    log.shadow("p1", None, None)
    (found,) = reports(log)
    assert (found.agreement, found.mean_difference, found.ks_distance, found.difference) == (
        1,
        None,
        None,
        (),
    )


def test_of_several_scores_those_that_are_farthest_apart_are_compared(log: Log) -> None:
    rng = np.random.default_rng(4)
    served, shadowed = (rng.dirichlet([2, 1, 1], 300).astype("f4").astype("f8") for _ in range(2))
    for number, (one, other) in enumerate(zip(served.tolist(), shadowed.tolist(), strict=True)):
        log.shadow(f"p{number}", None, None, against_scores=one, scores=other)
    (found,) = reports(log)
    farthest = abs(served - shadowed).max(axis=1)
    assert found.of_several
    assert (found.mean_difference, found.ks_distance) == (None, None)
    assert found.mean_absolute_difference == pytest.approx(farthest.mean())
    edges = [0, *((2 * place + 1) / 21 for place in range(11))]
    assert [each.low for each in found.difference] == pytest.approx(edges[:-1])
    assert [each.high for each in found.difference] == pytest.approx(edges[1:])
    assert [each.count for each in found.difference] == list(np.histogram(farthest, edges)[0])


def test_scores_of_another_number_are_not_compared(log: Log) -> None:
    log.shadow("p1", None, None, scores=[0.5, 0.5], against_scores=[0.2, 0.3, 0.5])
    log.shadow("p2", None, None, scores=[0.5, 0.5])
    log.shadow("p3", None, 0.4, scores=[0.5, 0.5], against_scores=None)
    log.shadow("p4", None, None, scores=[], against_scores=[])
    (found,) = reports(log)
    assert (found.compared, found.mean_absolute_difference, found.difference) == (4, None, ())
    assert not found.of_several


def test_one_score_is_compared_before_several(log: Log) -> None:
    log.shadow("p1", 0.4, 0.5, scores=[0.4, 0.6], against_scores=[0.9, 0.1])
    (found,) = reports(log)
    assert not found.of_several
    assert (found.mean_difference, found.mean_absolute_difference) == pytest.approx((-0.1, 0.1))
    assert len(found.difference) == 21


def test_absurd_scores_do_not_end_the_report(log: Log) -> None:
    log.shadow("p1", None, None, scores=[1e300, 0.0], against_scores=[-1e300, 0.0])
    log.shadow("p2", None, None, scores=[1e300, 0.0], against_scores=[1e300, 0.0])
    (found,) = reports(log)
    assert found.mean_absolute_difference == pytest.approx(1e30)
    assert found.difference[-1].count == 2
    log.shadow("p3", 1e100, 0.5)
    (found,) = reports(log)
    assert found.difference[-1].count == 3


def test_only_shadows_of_the_document_and_the_last_days_are_compared(log: Log) -> None:
    log.shadow("p1", 0.4, 0.5, version="v2")
    log.shadow("p2", 0.4, 0.5)
    assert [each.version for each in reports(log)] == ["v3"]
    assert reports(log, now=8 * DAY) == []
    assert reports(log, stored()) == []


def test_without_any_event_there_is_no_report(log: Log) -> None:
    assert reports(log) == []
