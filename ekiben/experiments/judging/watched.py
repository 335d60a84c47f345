"""Metrics that are only watched: many are looked at together, so they are called better or worse together."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.statistics.e_values import e_bh, e_value


def corrected(metrics: Sequence[MetricReport], alpha: float) -> tuple[MetricReport, ...]:
    """The same metrics. A watched one is better or worse where e-BH over all of them and all treatments says
    so at `alpha` (`ekiben.experiments.statistics.e_values`), and unclear otherwise.
    """
    watched = [metric for metric in metrics if metric.role is Role.WATCHED]
    compared = [(metric.name, variant) for metric in watched for variant in metric.effects]
    evidence = [
        evidence_of(effect, alpha / len(compared)) for metric in watched for effect in metric.effects.values()
    ]
    named = {each for each, found in zip(compared, e_bh(evidence, alpha), strict=True) if found}
    return tuple(
        _called(metric, {variant for name, variant in named if name == metric.name})
        if metric.role is Role.WATCHED
        else metric
        for metric in metrics
    )


def evidence_of(effect: Effect, level: float) -> float:
    """The e-value of an effect; 1, which says nothing, where it has no value or no standard error."""
    if effect.absolute is None or effect.std_error is None:
        return 1.0
    return e_value(effect.absolute, effect.std_error, effect.users, level, effect.planned_users)


def direction(effect: Effect, better: str) -> State:
    """Better or worse, by the sign of an effect that there is."""
    return State.BETTER if ((effect.absolute or 0.0) > 0) == (better == "higher") else State.WORSE


def _called(metric: MetricReport, named: Collection[str]) -> MetricReport:
    """The metric, whose effect in these treatments e-BH names."""
    states = {
        variant: direction(metric.effects[variant], metric.better) if variant in named else State.UNCLEAR
        for variant, state in metric.states.items()
        if state is not State.NO_DATA
    }
    return msgspec.structs.replace(metric, states=metric.states | states)
