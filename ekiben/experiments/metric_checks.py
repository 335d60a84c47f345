"""What is wrong with an experiment's metrics and its ramp, beyond their types."""

from __future__ import annotations

from collections.abc import Iterator

from ekiben.experiments.document import REQUEST_METRICS, Better, Experiment, Measure, MetricKind, RampEnd
from ekiben.experiments.durations import parse_duration
from ekiben.experiments.problems import Path, show, unknown

Problems = Iterator[tuple[Path, str]]


def metric_problems(experiment: Experiment) -> Problems:
    """Yield (path in the experiment, message) for each problem of its metrics."""
    seen: set[str] = set(REQUEST_METRICS)
    for place, metric in enumerate(experiment.metrics):
        path: Path = ("metrics", place)
        if metric.name in seen:
            what = "is a guardrail of every experiment" if metric.name in REQUEST_METRICS else "is taken"
            yield (*path, "name"), f"{show(metric.name)} {what}: give this metric another name"
        seen.add(metric.name)
        if (metric.kind is MetricKind.RATIO) != (metric.denominator is not None):
            yield (*path, "denominator"), "belongs to a ratio: the outcomes that it divides by"
        if metric.kind is MetricKind.RATIO and metric.covariate is not None:
            yield (*path, "covariate"), "a ratio takes no covariate"
        if metric.kind is MetricKind.LABEL:
            if metric.measure in (Measure.BRIER, Measure.LOG_LOSS) and metric.better is Better.HIGHER:
                yield (*path, "better"), f"{metric.measure} is a loss: write lower"
            if metric.guardrail is not None:
                yield (*path, "guardrail"), "a label cannot be a guardrail: it arrives too late to stop harm"
            if metric.covariate is not None:
                yield (*path, "covariate"), "a label takes no covariate"


def ramp_problems(experiment: Experiment) -> Problems:
    """Yield (path in the experiment, message) for each problem of its ramp."""
    ramp = experiment.ramp
    if ramp is None:
        return
    if any(later <= earlier for earlier, later in zip(ramp.steps, ramp.steps[1:], strict=False)):
        yield ("ramp", "steps"), "each step must be larger than the one before: a ramp only rises"
    if not parse_duration(ramp.every):
        yield ("ramp", "every"), f"{show(ramp.every)} is no duration: write 30s, 30m, 6h or 2d"
    declared = [metric.name for metric in experiment.metrics if metric.guardrail is not None]
    known = [*declared, *REQUEST_METRICS]
    for place, name in enumerate(ramp.guardrails or ()):
        if name not in known:
            yield ("ramp", "guardrails", place), unknown("guardrail", name, known)
    if ramp.then is RampEnd.PROMOTE and experiment.deciding_metric is None:
        yield ("ramp", "then"), "promote needs a metric that decides: one without a guardrail"
