"""What a change opens: each thing is a line, and everything else is none."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.changes.widening import widens
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from tests.router.documents import EXPERIMENT, credit

METRICS = [
    {"name": "profit", "outcome": "profit", "kind": "mean"},
    {"name": "kept", "outcome": "kept", "kind": "mean", "guardrail": {"max_worse": 0.05}},
]
RAMP = {
    "steps": [10, 50, 100],
    "every": "1h",
    "guardrails": ["kept", "error_rate"],
    "min_users_per_step": 500,
}
BEFORE = {"coverage": 10, "metrics": METRICS, "ramp": RAMP, "min_users": 5000}


def document(**changes: Any) -> Document:
    given = {name: value for name, value in (BEFORE | changes).items() if value is not None}
    return parse_document(credit(experiment=given))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"coverage": 100}, "coverage: rises from 10 to 100"),
        ({"coverage": None}, "coverage: rises from 10 to 100"),
        ({"min_users": 5}, "min_users: falls"),
        ({"min_users": None}, "min_users: falls"),
        ({"min_days": 1}, "min_days: falls"),
        ({"alpha": 0.1}, "alpha: rises"),
        ({"request_limits": {"error_rate": 0.5}}, "request_limits.error_rate: rises"),
        (
            {"metrics": METRICS[:1], "ramp": {"steps": [10, 50, 100]}},
            "metrics.kept: is a guardrail no longer",
        ),
        ({"metrics": [METRICS[0], METRICS[1] | {"guardrail": {"max_worse": 1}}]}, "metrics.kept: may worsen"),
        ({"ramp": None}, "ramp: is taken away"),
        ({"ramp": RAMP | {"steps": [10, 100]}}, "ramp.steps: leave out"),
        ({"ramp": RAMP | {"every": "1m"}}, "ramp.every: falls"),
        ({"ramp": RAMP | {"min_users_per_step": 1}}, "ramp.min_users_per_step: falls"),
        ({"ramp": RAMP | {"guardrails": ["kept"]}}, "ramp.guardrails: fewer"),
        ({"ramp": RAMP | {"then": "promote"}}, "ramp.then: it promotes"),
    ],
)
def test_what_opens_is_a_line(changes: dict[str, Any], says: str) -> None:
    lines = widens(document(), document(**changes))
    assert any(line.startswith(f"experiments.{EXPERIMENT}.{says}") for line in lines), lines


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (None, {"per_second": 5}, "features of predictions are kept"),
        ({"scores_per_second": 9}, {"per_second": 5, "scores_per_second": 9}, "features of predictions are"),
        ({"per_second": 5, "without": ["income", "age"]}, {"per_second": 5, "without": ["age"]}, "income of"),
        ({"per_second": 5, "without": ["age"]}, {"per_second": 9, "without": ["age", "income"]}, None),
        ({"per_second": 5}, {"scores_per_second": 500}, None),
        ({"per_second": 5}, None, None),
    ],
)
def test_what_keeps_more_of_what_people_send_opens(before: Any, after: Any, says: str | None) -> None:
    documents = [
        parse_document(credit(**({} if each is None else {"capture": each}))) for each in (before, after)
    ]
    lines = widens(*documents)
    assert lines == () if says is None else lines[0].startswith(f"models.credit.capture: {says}")


def test_a_beginning_and_another_live_version_open() -> None:
    nothing = parse_document({"models": credit()["models"]})
    assert len(widens(nothing, document())) == 1
    assert len(widens(document(status="paused"), document())) == 1
    draft = parse_document(credit(experiment={"status": "rolled_back"}))
    moved = parse_document(credit(experiment={"status": "rolled_back"}, live="v2"))
    assert widens(draft, moved) == ("models.credit.live: everyone outside experiments gets v2",)


def test_a_ramp_that_begins_and_an_experiment_that_is_gone_are_worth_a_second_look() -> None:
    assert widens(document(ramp=None), document()) == (f"experiments.{EXPERIMENT}.ramp: begins",)
    gone = parse_document({"models": credit()["models"]})
    assert widens(document(status="rolled_back"), gone) == (f"experiments.{EXPERIMENT}: is removed",)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"coverage": 5},
        {"status": "paused"},
        {"min_users": 10_000},
        {"ramp": RAMP | {"steps": [10, 20, 50, 100]}},
        {"overrides": {"u-1": "control"}},
    ],
)
def test_what_closes_or_is_neither_is_none(changes: dict[str, Any]) -> None:
    assert widens(document(), document(**changes)) == ()


def test_an_empty_store_is_filled_as_it_is_meant() -> None:
    assert widens(None, document()) == ()
