"""What a document may say of margins and of an experiment's end."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.amounts import share_of
from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.releases import write_document
from ekiben.experiments.changes.widening import widens
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from tests.experiments.documents import credit, credit_document, problems

PROFIT: dict[str, Any] = {"name": "profit", "outcome": "profit", "kind": "mean"}
KEPT: dict[str, Any] = {"name": "kept", "outcome": "kept", "kind": "proportion"}


def guarded(**guardrail: float) -> list[dict[str, Any]]:
    return [PROFIT, KEPT | {"guardrail": guardrail}]


@pytest.mark.parametrize("guardrail", [{}, {"max_worse": 0.1, "max_worse_by": 0.1}])
def test_a_guardrail_has_one_of_two_margins(guardrail: dict[str, float]) -> None:
    (line,) = problems(credit(metrics=guarded(**guardrail)))
    assert line.startswith("experiments.credit-net.metrics.1.guardrail: has one of max_worse")


@pytest.mark.parametrize("name", ["max_worse", "max_worse_by"])
def test_a_margin_of_0_is_refused_where_it_comes_in_and_not_where_it_stands(name: str) -> None:
    nothing = credit_document(metrics=guarded(**{name: 0}))
    for before in (None, credit_document(metrics=guarded(**{name: 0.1}))):
        with pytest.raises(DocumentError, match="that never holds"):
            check_change(before, nothing)
    check_change(nothing, credit_document(metrics=guarded(**{name: 0}), min_days=3))


@pytest.mark.parametrize(
    ("experiment", "line"),
    [
        ({"metrics": [PROFIT, KEPT | {"min_effect": 1}]}, "metrics.1.min_effect: belongs to the metric that"),
        ({"metrics": [PROFIT], "goal": "not_worse"}, "goal: not_worse needs min_effect"),
        ({"metrics": [PROFIT], "max_days": 3}, "max_days: is 3, before the 7 of min_days"),
        ({"metrics": [PROFIT | {"min_effect": "5"}]}, "metrics.0.min_effect: must be a number above 0"),
        ({"metrics": [PROFIT | {"min_effect": "0%"}]}, "metrics.0.min_effect: must be a number above 0"),
        ({"metrics": [PROFIT | {"min_effect": 0}]}, "metrics.0.min_effect: must be a number above 0"),
        ({"metrics": [PROFIT | {"min_effect": True}]}, "metrics.0.min_effect: must be a number above 0"),
    ],
)
def test_what_cannot_end_an_experiment_is_one_line(experiment: dict[str, Any], line: str) -> None:
    (found,) = problems(credit(**experiment))
    assert found.startswith(f"experiments.credit-net.{line}"), found


@pytest.mark.parametrize(("least", "share"), [(0.5, None), (2, None), ("5%", 0.05), ("0.25%", 0.0025)])
def test_an_amount_is_a_number_or_a_share_and_is_written_as_it_was(least: Any, share: float | None) -> None:
    document = credit_document(metrics=[PROFIT | {"min_effect": least}], goal="not_worse", max_days=30)
    held = document.experiments["credit-net"].metrics[0].min_effect
    assert held is not None
    assert share_of(held) == (None if share is None else pytest.approx(share))
    written = write_document(document)["experiments"]["credit-net"]
    written.pop("requires")
    assert written["metrics"][0]["min_effect"] == least
    data = credit()
    data["experiments"]["credit-net"] = written
    assert parse_document(data) == document


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (guarded(max_worse_by=0.1), guarded(max_worse_by=0.2), "may worsen by 0.2 (max_worse_by)"),
        (guarded(max_worse=0.1), guarded(max_worse_by=0.1), "may worsen by 0.1 (max_worse_by)"),
    ],
)
def test_a_wider_margin_is_worth_a_second_look(before: Any, after: Any, line: str) -> None:
    assert line in " ".join(widens(credit_document(metrics=before), credit_document(metrics=after)))


def test_a_goal_that_asks_for_less_is_worth_a_second_look() -> None:
    def document(goal: str) -> Document:
        return credit_document(metrics=[PROFIT | {"min_effect": 1}], goal=goal)

    assert any("need not be better" in line for line in widens(document("better"), document("not_worse")))
    assert not widens(document("not_worse"), document("better"))
