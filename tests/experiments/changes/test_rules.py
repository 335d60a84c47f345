from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.changes.rules import rule_differences
from tests.experiments.documents import credit_document

PROFIT = {"name": "profit", "outcome": "profit", "kind": "mean"}
KEPT = {"name": "kept", "outcome": "kept", "kind": "mean", "guardrail": {"max_worse": 0.05}}
WATCHED = {"name": "clicks", "outcome": "clicks", "kind": "mean"}


def experiment(*metrics: dict[str, Any], **fields: Any) -> Any:
    return credit_document(metrics=list(metrics) or [PROFIT, KEPT], **fields).experiments["credit-net"]


@pytest.mark.parametrize(
    ("after", "lines"),
    [
        (experiment(alpha=0.1), ("alpha: 0.05 → 0.1",)),
        (experiment(planned_users=20_000), ("planned_users: 5000 → 20000",)),
        (experiment(min_users=5), ("min_users: 500 → 5",)),
        (experiment(min_days=1), ("min_days: 7 → 1",)),
        (experiment(request_limits={"error_rate": 0.5}), ("request_limits, error_rate: 0.01 → 0.5",)),
        (experiment(PROFIT | {"window_hours": 1}, KEPT), ("metric profit, window_hours: 24 → 1",)),
        (experiment(PROFIT), ("metric kept: removed",)),
        (
            experiment(WATCHED, PROFIT, KEPT),
            ("the deciding metric: profit → clicks", "metric profit: removed", "metric clicks: added"),
        ),
    ],
)
def test_what_changes_the_meaning_of_a_verdict_is_a_line(after: Any, lines: tuple[str, ...]) -> None:
    assert rule_differences(experiment(), after) == lines


@pytest.mark.parametrize(
    "after", [experiment(PROFIT, KEPT, WATCHED), experiment(coverage=5), experiment(ramp={"steps": [100]})]
)
def test_what_does_not_is_none(after: Any) -> None:
    assert rule_differences(experiment(), after) == ()
