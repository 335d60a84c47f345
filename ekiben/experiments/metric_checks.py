"""What is wrong with an experiment's metrics and its ramp, beyond their types."""

from __future__ import annotations

from ekiben.experiments.document import Experiment, RampEnd
from ekiben.experiments.durations import parse_duration
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.problems import Path, Problems, below, show, unknown


def metric_problems(experiment: Experiment) -> Problems:
    """Yield (path in the experiment, message) for each problem of its metrics."""
    seen: set[str] = set(REQUEST_METRICS)
    for place, metric in enumerate(experiment.metrics):
        path: Path = ("metrics", place)
        if metric.name in seen:
            what = "is a guardrail of every experiment" if metric.name in REQUEST_METRICS else "is taken"
            yield (*path, "name"), f"{show(metric.name)} {what}: give this metric another name"
        seen.add(metric.name)
        yield from below(path, metric.kind.problems(metric))


def ramp_problems(experiment: Experiment) -> Problems:
    """Yield (path in the experiment, message) for each problem of its ramp."""
    ramp = experiment.ramp
    if ramp is None:
        return
    if any(later <= earlier for earlier, later in zip(ramp.steps, ramp.steps[1:], strict=False)):
        yield ("ramp", "steps"), "each step must be larger than the one before: a ramp only rises"
    if not parse_duration(ramp.every):
        yield ("ramp", "every"), f"{show(ramp.every)} is not a duration: write 30s, 30m, 6h or 2d"
    declared = [metric.name for metric in experiment.metrics if metric.guardrail is not None]
    known = [*declared, *REQUEST_METRICS]
    for place, name in enumerate(ramp.guardrails or ()):
        if name not in known:
            yield ("ramp", "guardrails", place), unknown("guardrail", name, known)
    if ramp.then is RampEnd.PROMOTE and experiment.deciding_metric is None:
        yield ("ramp", "then"), "promote needs a metric that decides: one without a guardrail"
