"""The rule by which an experiment is judged: what a change of it does to evidence that was there before.

The deciding metric, the guardrails with their margins and windows, alpha, the planned users and the
minima. Metrics that are only watched are no part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ekiben.experiments.changes.differences import flow
from ekiben.experiments.document import Experiment

_FIELDS = ("alpha", "planned_users", "min_users", "min_days", "max_days", "goal", "request_limits")


def rule_differences(before: Experiment, after: Experiment) -> tuple[str, ...]:
    """A line for each part of the rule that differs: "alpha: 0.05 → 0.1"."""
    return tuple(_lines(_rule(before), _rule(after)))


def _rule(experiment: Experiment) -> dict[str, Any]:
    deciding = experiment.deciding_metric
    data = experiment.model_dump(mode="json", by_alias=True)
    rule = {field: data[field] for field in _FIELDS}
    rule["the deciding metric"] = deciding.name if deciding is not None else "none"
    for metric, plain in zip(experiment.metrics, data["metrics"], strict=True):
        if metric is deciding or metric.guardrail is not None:
            rule[f"metric {metric.name}"] = {name: value for name, value in plain.items() if name != "name"}
    return rule


def _lines(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    for part in dict.fromkeys((*before, *after)):
        if part not in before or part not in after:
            yield f"{part}: {'added' if part in after else 'removed'}"
        elif isinstance(after[part], dict):
            for name in after[part]:
                if before[part][name] != after[part][name]:
                    yield f"{part}, {name}: {flow(before[part][name])} → {flow(after[part][name])}"
        elif before[part] != after[part]:
            yield f"{part}: {flow(before[part])} → {flow(after[part])}"
