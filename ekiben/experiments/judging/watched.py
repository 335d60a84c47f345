"""Metrics that are only watched, and segments: many are looked at together, so they are called together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.reports.segments import MOST_SEGMENTS, Breakdown, Segment
from ekiben.experiments.statistics.e_values import e_bh, e_value


class _Compared(NamedTuple):
    effect: Effect
    better: str
    state: State


def corrected(
    metrics: Sequence[MetricReport], breakdowns: Sequence[Breakdown], alpha: float
) -> tuple[tuple[MetricReport, ...], tuple[Breakdown, ...]]:
    """The same metrics and breakdowns. A watched metric, and every metric in a segment, is better or worse
    where e-BH over all of these comparisons says so at `alpha` (`ekiben.experiments.statistics.e_values`),
    and unclear otherwise.
    """
    watched = [metric for metric in metrics if metric.role is Role.WATCHED]
    better = {metric.name: metric.better for metric in metrics}
    compared = [
        _Compared(effect, metric.better, metric.states[variant])
        for metric in watched
        for variant, effect in metric.effects.items()
    ]
    # Segments appear as users come, and the level that the evidence is tuned to must be fixed beforehand.
    most = len(compared) + sum(MOST_SEGMENTS * len(segment.effects) for segment in _firsts(breakdowns))
    compared += [
        _Compared(each.effect, better[each.metric], each.state)
        for breakdown in breakdowns
        for segment in breakdown.segments
        for each in segment.effects
    ]
    evidence = [
        1.0 if each.state is State.NO_DATA else evidence_of(each.effect, alpha / most) for each in compared
    ]
    states = iter(
        [_state(each, named=named) for each, named in zip(compared, e_bh(evidence, alpha), strict=True)]
    )
    judged = tuple(
        replace(metric, states={variant: next(states) for variant in metric.effects})
        if metric.role is Role.WATCHED
        else metric
        for metric in metrics
    )
    return judged, tuple(
        replace(breakdown, segments=tuple(_judged(segment, states) for segment in breakdown.segments))
        for breakdown in breakdowns
    )


def evidence_of(effect: Effect, level: float) -> float:
    """The e-value of an effect; 1, which says nothing, where it has no value or no standard error."""
    if effect.absolute is None or effect.std_error is None:
        return 1.0
    return e_value(effect.absolute, effect.std_error, effect.users, level, effect.planned_users)


def direction(effect: Effect, better: str) -> State:
    """Better or worse, by the sign of an effect that there is."""
    return State.BETTER if ((effect.absolute or 0.0) > 0) == (better == "higher") else State.WORSE


def _firsts(breakdowns: Sequence[Breakdown]) -> Iterator[Segment]:
    """A segment of each breakdown: all have as many effects."""
    for breakdown in breakdowns:
        yield from breakdown.segments[:1]


def _judged(segment: Segment, states: Iterator[State]) -> Segment:
    return replace(segment, effects=tuple(replace(each, state=next(states)) for each in segment.effects))


def _state(compared: _Compared, *, named: bool) -> State:
    if compared.state not in (State.BETTER, State.WORSE, State.UNCLEAR):
        return compared.state
    return direction(compared.effect, compared.better) if named else State.UNCLEAR
