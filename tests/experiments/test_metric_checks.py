"""What is wrong with metrics, segments and ramps is told in a line with its path."""

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


def never_kept(name: str, **experiment: Any) -> dict[str, Any]:
    """The document with an attribute that is left out of events."""
    data = credit(**experiment)
    data["models"]["credit"]["capture"] = {"without": [name]}
    return data


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (credit(segments=["plan", "plan"]), 'segments.1: "plan" is listed twice'),
        (
            never_kept("plan", segments=["plan"]),
            'segments.0: "plan" is never kept: take it out of models.credit.capture.without, or out of here',
        ),
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


MOOD = METRIC | {"kind": "label", "classes": ["bad", "fair", "good"]}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"kind": "mean"}, "classes: belong to a label: a metric of another kind has none"),
        ({"classes": ["bad"]}, "classes: are 2 to 32: leave them out where the truth is 1 or 0"),
        (
            {"classes": [f"c{number}" for number in range(33)]},
            "classes: are 2 to 32: leave them out where the truth is 1 or 0",
        ),
        ({"classes": ["bad", "good", "bad"]}, 'classes.2: "bad" is listed twice'),
        ({"classes": ["bad", ""]}, "classes.1: must not be empty"),
        ({"classes": "bad, good"}, 'classes: must be a list, not "bad, good"'),
        ({"classes": ["bad", 2]}, "classes.1: must be text, not 2: write it in quotes"),
    ],
)
def test_classes_are_a_label_s_and_distinct(change: dict[str, Any], line: str) -> None:
    parse_document(credit(metrics=[MOOD]))
    assert problems(credit(metrics=[MOOD | change])) == (f"experiments.credit-net.metrics.0.{line}",)


def answering(output: dict[str, str] | None, metric: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The document with one label, whose treatment's version is a server that answers with this output."""
    data = credit(metrics=[metric], **fields)
    dialect = {"kind": "bentoml", "path": "/predict"}
    data["models"]["credit"]["versions"]["v2"] |= {"dialect": dialect} | (
        {"output": output} if output else {}
    )
    return data


@pytest.mark.parametrize(
    ("output", "label", "what"),
    [
        (
            {"scores": "p"},
            MOOD | {"classes": None},
            (
                "answers with several scores and names no `score`: list their classes here. Those of several "
                "horizons have no label: name one of them as `score`"
            ),
        ),
        (
            {"score": "p"},
            MOOD,
            "names no `scores` in its `output`: name there where the probabilities of the classes are",
        ),
    ],
)
def test_a_label_that_a_version_has_no_scores_for_is_refused(
    output: dict[str, str], label: dict[str, Any], what: str
) -> None:
    line = f"experiments.credit-net.metrics.0.classes: version v2 {what}"
    assert problems(answering(output, label)) == (line,)
    parse_document(answering({"score": "p.1", "scores": "p"}, label))
    parse_document(answering(None, label))
    parse_document(answering(output, METRIC))


def test_an_experiment_that_has_ended_may_have_a_version_that_answers_otherwise_now() -> None:
    parse_document(answering({"scores": "p"}, METRIC | {"kind": "label"}, status="rolled_back"))


def test_a_ramp_judges_declared_guardrails_and_those_of_requests() -> None:
    guardrail = METRIC | {"guardrail": {"max_worse": 0.1}}
    good = credit(metrics=[guardrail], ramp=RAMP | {"guardrails": ["profit", "slow_rate"]})
    parse_document(good)
    (line,) = problems(credit(metrics=[METRIC], ramp=RAMP | {"guardrails": ["profit"]}))
    assert line.startswith("experiments.credit-net.ramp.guardrails.0: ")


def test_losses_that_are_better_lower_are_metrics() -> None:
    parse_document(metrics({"kind": "label", "measure": "brier", "better": "lower"}))
