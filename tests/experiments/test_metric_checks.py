"""What is wrong with metrics and ramps is told in a line with its path."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.parsing import parse_document
from tests.experiments.documents import credit, problems

METRIC: dict[str, Any] = {"name": "profit", "outcome": "profit", "kind": "mean"}
RAMP: dict[str, Any] = {"steps": [2, 50], "every": "30m"}


def metrics(*changes: dict[str, Any]) -> dict[str, Any]:
    """The document with one metric for each of these changes."""
    return credit(metrics=[METRIC | change for change in changes])


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (metrics({}, {}), 'metrics.1.name: "profit" is taken: give this metric another name'),
        (
            metrics({"name": "error_rate"}),
            'metrics.0.name: "error_rate" is a guardrail of every experiment: give this metric another name',
        ),
        (
            metrics({"kind": "ratio"}),
            "metrics.0.denominator: belongs to a ratio: the outcomes that it divides by",
        ),
        (
            metrics({"denominator": "orders"}),
            "metrics.0.denominator: belongs to a ratio: the outcomes that it divides by",
        ),
        (
            metrics({"kind": "ratio", "denominator": "orders", "covariate": "profit"}),
            "metrics.0.covariate: a ratio takes no covariate",
        ),
        (metrics({"kind": "label", "covariate": "x"}), "metrics.0.covariate: a label takes no covariate"),
        (
            metrics({"kind": "label", "guardrail": {"max_worse": 0.1}}),
            "metrics.0.guardrail: a label cannot be a guardrail: it arrives too late to stop harm",
        ),
        (
            metrics({"kind": "label", "measure": "log_loss"}),
            "metrics.0.better: log_loss is a loss: write lower",
        ),
        (
            credit(ramp=RAMP | {"steps": [50, 2]}),
            "ramp.steps: each step must be larger than the one before: a ramp only rises",
        ),
        (
            credit(ramp=RAMP | {"every": "soon"}),
            'ramp.every: "soon" is not a duration: write 30s, 30m, 6h or 2d',
        ),
        (
            credit(ramp=RAMP | {"then": "promote"}),
            "ramp.then: promote needs a metric that decides: one without a guardrail",
        ),
    ],
)
def test_each_mistake_of_a_metric_or_a_ramp_is_one_line(data: dict[str, Any], line: str) -> None:
    assert problems(data) == (f"experiments.credit-net.{line}",)


def test_a_ramp_judges_declared_guardrails_and_those_of_requests() -> None:
    guardrail = METRIC | {"guardrail": {"max_worse": 0.1}}
    good = credit(metrics=[guardrail], ramp=RAMP | {"guardrails": ["profit", "slow_rate"]})
    parse_document(good)
    (line,) = problems(credit(metrics=[METRIC], ramp=RAMP | {"guardrails": ["profit"]}))
    assert line.startswith("experiments.credit-net.ramp.guardrails.0: ")


def test_losses_that_are_better_lower_are_metrics() -> None:
    parse_document(metrics({"kind": "label", "measure": "brier", "better": "lower"}))
