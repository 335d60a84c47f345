"""What a plan is made from: what is asked, what is known, and what a promotion needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec
from pydantic import ValidationError

from ekiben.experiments.document import Experiment, Metric, Variant
from ekiben.experiments.judging.states import hold_alpha
from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.kinds.table import REQUESTS
from ekiben.experiments.problems import from_validation, problem
from ekiben.experiments.reports.history import History, MetricHistory
from ekiben.experiments.statistics.joint_size import Condition
from ekiben.experiments.statistics.sample_size import Spread, proportion


class BadPlan(ValueError):
    """The plan cannot be made; the message says what is missing or wrong."""


class Wish(msgspec.Struct, frozen=True):
    """What is asked: an `effect` ("5%" of the control's mean, or a number), or the smallest one that is found
    in `days`. What is not given is taken from the history.
    """

    effect: str | None = None
    days: float | None = None
    power: float = 0.8
    users_per_day: float | None = None
    mean: float | None = None
    std: float | None = None


def imagined(model: str, live: str, text: str, known: Iterable[Experiment]) -> Experiment:
    """An experiment of two equal halves that could be begun: `text` is its metric, NAME or NAME:KIND.

    A metric that one of the `known` experiments of the model has is taken from there. Another one is made of
    the outcomes of its name, a mean unless its kind is given. Raises `BadPlan`.
    """
    name, _, kind = text.partition(":")
    found = [each for experiment in known if experiment.model == model for each in experiment.metrics]
    metric = next((each for each in found if each.name == name and kind in ("", each.kind.name)), None)
    if metric is None:
        try:
            metric = Metric.model_validate({"name": name, "outcome": name, "kind": kind or "mean"})
        except ValidationError as error:
            raise BadPlan("; ".join(problem(*each) for each in from_validation(Metric, (), error))) from None
        for path, words in metric.kind.problems(metric):
            raise BadPlan(f"{name}: {'.'.join(map(str, path))} {words}: write an experiment, and plan that")
    half = Variant(version=live, weight=50)
    return Experiment(
        model=model,
        variants={"control": half, "treatment": half},
        metrics=(metric.model_copy(update={"guardrail": None}),),
    )


def needed(experiment: Experiment) -> set[str]:
    """The metrics that a plan asks about, by name."""
    deciding = experiment.deciding_metric
    own = {metric.name for metric in experiment.metrics if metric is deciding or metric.guardrail is not None}
    return own | set(REQUEST_METRICS)


def given(metric: Metric, history: History, wish: Wish) -> MetricHistory:
    """The deciding metric as it is given or known."""
    seen = history.metrics.get(metric.name, MetricHistory(0, None, None))
    mean = wish.mean if wish.mean is not None else seen.mean
    std = wish.std if wish.std is not None else seen.std
    if std is None and metric.kind.is_share and mean is not None and 0 < mean < 1:
        std = math.sqrt(mean * (1 - mean))
    if std is None:
        hint = f". Or {history.missing}" if history.missing else ""
        raise BadPlan(
            f"nothing is known of {metric.name} yet: give a standard deviation (std), and for a share of the "
            f"control's mean that mean (mean){hint}"
        )
    return MetricHistory(seen.users, mean, std)


def absolute_effect(effect: str | None, metric: Metric, mean: float | None) -> float:
    """What is to be found, in the metric's unit: the metric's `min_effect` unless given. Raises `BadPlan`."""
    if effect is None and metric.min_effect is not None:
        effect = str(metric.min_effect)
    if effect is None:
        raise BadPlan(
            "say which effect is to be found (effect), or in how many days the smallest one is sought (days)"
        )
    text, relative = (effect.strip()[:-1], True) if effect.strip().endswith("%") else (effect, False)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number == 0:
        raise BadPlan(f"the effect is a share of the control's mean, such as 5%, or a number, not {effect!r}")
    if not relative:
        return number
    if not mean:
        raise BadPlan("a share of the control's mean needs that mean: give one (mean)")
    return number / 100 * abs(mean)


def guardrail_conditions(experiment: Experiment, history: History) -> Iterator[Condition | str]:
    """Every guardrail in force as a condition, or its name where too little is known of it."""
    alpha = hold_alpha(experiment.alpha, len(experiment.variants) - 1)
    for metric in experiment.metrics:
        if metric.guardrail is not None:
            margin = _margin(metric, history.metrics.get(metric.name))
            if margin is None:
                yield metric.name
            else:
                yield Condition(metric.name, margin[0], margin[1], alpha)
    for name in REQUEST_METRICS:
        seen = history.metrics.get(name)
        allowed = getattr(experiment.request_limits, name)
        if seen is None or seen.std is None:
            yield name
        elif 0 < allowed < 1:  # 1 allows everything
            yield Condition(name, allowed, spread_of(REQUESTS, seen, 0.0), alpha)


def _margin(metric: Metric, seen: MetricHistory | None) -> tuple[float, Spread] | None:
    """How much worse a guardrail may be, and the spread that it is judged by; a margin that is a share of the
    control's mean widens it as `ekiben.experiments.judging.states.metric_state` does.
    """
    guardrail = metric.guardrail
    if guardrail is None or seen is None or seen.std is None:
        return None
    spread = spread_of(metric.kind, seen, 0.0)
    if guardrail.max_worse_by is not None:
        return guardrail.max_worse_by, spread
    if not seen.mean or guardrail.max_worse is None:
        return None
    downwards = (metric.better == "higher") == (seen.mean > 0)
    widened = 1.0 if downwards else 1 + guardrail.max_worse
    return guardrail.max_worse * abs(seen.mean), Spread(widened * spread.std, share=spread.share)


def spread_of(kind: Kind, seen: MetricHistory, effect: float) -> Spread:
    if kind is not REQUESTS and kind.is_share and seen.mean is not None and 0 < seen.mean < 1:
        return proportion(seen.mean, effect)
    return Spread(seen.std or 0.0, share=kind.is_share)
