"""What is wrong with an experiment's metrics, segments and ramp, beyond their types."""

from __future__ import annotations

from ekiben.experiments.document import Experiment, Goal, Metric, Model, RampBegin, RampEnd
from ekiben.experiments.durations import parse_duration
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.lifecycle import ACTIVE, TRANSITIONS
from ekiben.experiments.problems import Path, Problems, below, show, unknown, word
from ekiben.experiments.version import Output


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
        if metric.guardrail is not None and sum(value is not None for _, value in metric.guardrail) != 1:
            words = "has one of max_worse (a share of the control's mean) and max_worse_by (an amount)"
            yield (*path, "guardrail"), words


def margin_problems(experiment: Experiment) -> Problems:
    """Yield (path in the experiment, message) for each guardrail that never holds."""
    for place, metric in enumerate(experiment.metrics):
        for name, value in metric.guardrail or ():
            if value == 0:
                words = "is 0, and that never holds: no number of users shows that nothing at all is worse"
                yield ("metrics", place, "guardrail", name), words


def end_problems(experiment: Experiment) -> Problems:
    """Yield (path in the experiment, message) for each problem of what ends it."""
    deciding = experiment.deciding_metric
    for place, metric in enumerate(experiment.metrics):
        if metric.min_effect is not None and metric is not deciding:
            decides = "none" if deciding is None else word(deciding.name)
            yield ("metrics", place, "min_effect"), f"belongs to the metric that decides, which is {decides}"
    if experiment.goal is Goal.NOT_WORSE and (deciding is None or deciding.min_effect is None):
        yield ("goal",), "not_worse needs min_effect at the metric that decides: not worse by how much?"
    if experiment.max_days is not None and experiment.max_days < experiment.min_days:
        yield ("max_days",), f"is {experiment.max_days:g}, before the {experiment.min_days:g} of min_days"


def label_problems(experiment: Experiment, model: Model) -> Problems:
    """Yield (path in the experiment, message) for each label that cannot be compared with what a variant's
    version answers, as far as its `output` in the document says that.
    """
    versions = dict.fromkeys(variant.version for variant in experiment.variants.values())
    told = {name: model.versions[name].output for name in versions if name in model.versions}
    has_ended = not TRANSITIONS[experiment.status]
    for place, metric in enumerate(experiment.metrics):
        for name, output in told.items() if metric.kind.of_predictions and not has_ended else ():
            message = None if output is None else _unlabelled(metric, output)
            if message is not None:
                yield ("metrics", place, "classes"), f"version {word(name)} {message}"


def _unlabelled(metric: Metric, output: Output) -> str | None:
    """Why answers with that output cannot be compared with the label, None where they can."""
    if metric.classes is not None and output.scores is None:
        return "names no `scores` in its `output`: name there where the probabilities of the classes are"
    if metric.classes is None and output.score is None and output.scores is not None:
        return (
            "answers with several scores and names no `score`: list their classes here. Those of several "
            "horizons have no label: name one of them as `score`"
        )
    return None


def segment_problems(experiment: Experiment, model: Model | None) -> Problems:
    """Yield (path in the experiment, message) for each attribute that reports cannot be broken down by."""
    never_kept = model.capture.without if model is not None and model.capture is not None else ()
    for place, name in enumerate(experiment.segments):
        if name in experiment.segments[:place]:
            yield ("segments", place), f"{show(name)} is listed twice"
        if name in never_kept:
            where = f"models.{experiment.model}.capture.without"
            yield ("segments", place), f"{show(name)} is never kept: take it out of {where}, or out of here"


def begin_problems(experiment: Experiment, model: Model) -> Problems:
    """Yield (path in the experiment, message) where a ramp waits for a shadow that can never be compared."""
    ramp = experiment.ramp
    if ramp is None or ramp.begin is RampBegin.AT_ONCE:
        return
    if experiment.status not in ACTIVE or experiment.coverage >= ramp.steps[0]:
        return
    path = ("ramp", "begin")
    if not any(metric.kind.of_predictions for metric in experiment.metrics):
        yield path, "needs a metric of kind label, by which a shadow is compared: add one, or write at_once"
    for variant in list(experiment.variants.values())[1:]:
        if variant.version in model.versions and not model.shadow.get(variant.version):
            words = (
                f"waits for the shadow of {word(variant.version)}, and {word(experiment.model)} has none: "
                f"write `shadow: {{{variant.version}: 10}}` there, or at_once"
            )
            yield path, words


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
