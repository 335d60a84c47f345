"""`only_where` in the document: what it asks of routers, and where it cannot stand."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.releases import BASE, read_document, routing_data, write_document
from ekiben.experiments.differing import OnlyWhere, asked_beside
from ekiben.experiments.document import Metric
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.snapshot import Snapshot
from tests.experiments.documents import credit, credit_document, problems, variants

PROFIT: dict[str, Any] = {"name": "profit", "outcome": "profit", "kind": "mean"}
DIFFERING = PROFIT | {"only_where": "decisions_differ"}
PLACE = "experiments.credit-net.metrics.0.only_where: "


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("decisions_differ", OnlyWhere()),
        ({"scores_differ": 0.1}, OnlyWhere(0.1)),
        ({"scores_differ": 0}, OnlyWhere(0.0)),
    ],
)
def test_a_rule_is_read_and_written_as_it_was(written: object, rule: OnlyWhere) -> None:
    document = credit_document(metrics=[PROFIT | {"only_where": written}])
    assert document.experiments["credit-net"].metrics[0].only_where == rule
    plain = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert plain["experiments"]["credit-net"]["metrics"][0]["only_where"] == written
    assert parse_document(plain) == document


@pytest.mark.parametrize(
    "written", ["scores_differ", {"scores_differ": -1}, {"scores_differ": True}, {"apart": 1}, 0.1]
)
def test_what_is_no_rule_is_refused_with_those_that_there_are(written: object) -> None:
    (line,) = problems(credit(metrics=[PROFIT | {"only_where": written}]))
    assert line.startswith(f"{PLACE}must be one of decisions_differ, {{scores_differ: a number")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "proportion"}, "cancels in sums only"),
        ({"kind": "ratio", "denominator": "loans"}, "cancels in sums only"),
        ({"kind": "label"}, "cancels in sums only"),
        ({"guardrail": {"max_worse": 0.1}}, "belongs to no guardrail"),
    ],
)
def test_only_a_mean_that_is_no_guardrail_has_it(fields: dict[str, Any], words: str) -> None:
    (line,) = problems(credit(metrics=[DIFFERING | fields]))
    assert line.startswith(PLACE)
    assert words in line


def test_one_version_in_two_variants_never_differs_and_is_refused() -> None:
    same = {name: {"version": "v1", "weight": 50} for name in ("control", "treatment")}
    (line,) = problems(credit(variants=same, metrics=[DIFFERING], overrides={}))
    assert line == f"{PLACE}needs two versions, and v1 is both: they never differ"


def test_versions_whose_output_names_no_decision_or_score_are_refused() -> None:
    for rule, output, name in (
        ("decisions_differ", {"score": "p"}, "decision"),
        ({"scores_differ": 1}, {"decision": "d"}, "score"),
    ):
        data = credit(metrics=[PROFIT | {"only_where": rule}])
        version = data["models"]["credit"]["versions"]["v2"]
        version |= {"dialect": {"kind": "bentoml", "path": "/p"}, "output": output}
        (line,) = problems(data)
        assert line == f"{PLACE}version v2 names no `{name}` in its `output`: name it there"


def test_a_controls_requests_need_all_answers_and_a_treatments_its_own_and_the_controls() -> None:
    three = variants(a=50, b=25, c=25)
    document = credit_document(variants=three, overrides={}, metrics=[PROFIT, DIFFERING | {"name": "where"}])
    needed = {"a": ("v1", "v2", "v3"), "b": ("v1", "v2"), "c": ("v1", "v3")}
    assert asked_beside(document.experiments["credit-net"]) == needed
    plan = Snapshot("", 1, document).plans["credit"]
    assert plan.beside == {("credit-net", name): versions for name, versions in needed.items()}


def test_nobody_is_asked_beside_for_other_metrics_or_an_experiment_that_does_not_run() -> None:
    assert asked_beside(credit_document(metrics=[PROFIT]).experiments["credit-net"]) == {}
    paused = credit_document(metrics=[DIFFERING], status="paused")
    assert Snapshot("", 1, paused).plans["credit"].beside == {}


def test_routers_are_told_of_such_metrics_what_they_need_and_of_no_others() -> None:
    full = credit_document(metrics=[PROFIT | {"name": "all"}, DIFFERING | {"window_hours": 48}])
    routed = routing_data(write_document(full))
    assert routed["experiments"]["credit-net"]["metrics"] == [DIFFERING]
    read, _ = read_document(routed)
    assert Snapshot("", 1, read).plans["credit"].beside == Snapshot("", 1, full).plans["credit"].beside


def test_a_release_that_does_not_know_it_runs_the_experiment_as_an_ordinary_one() -> None:
    assert "only_where" not in BASE[Metric]
    routed = routing_data(write_document(credit_document(metrics=[DIFFERING])))
    assert "requires" not in routed["experiments"]["credit-net"]


def test_it_begins_with_a_phase_and_may_be_taken_away_at_any_time() -> None:
    plain, differing = credit_document(metrics=[PROFIT]), credit_document(metrics=[DIFFERING])
    check_change(differing, plain)
    check_change(plain, credit_document(metrics=[DIFFERING], phase=2, seed="another"))
    check_change(credit_document(metrics=[PROFIT], status="draft"), differing)
    with pytest.raises(DocumentError, match="from the first request of a phase on: begin a new phase"):
        check_change(plain, differing)
