"""The treatments of a report: those that are still compared, and how they stand against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from ekiben.experiments.reports.metric import MetricReport, State
from ekiben.experiments.reports.report import Report

_T = TypeVar("_T")


def without_retired(report: Report) -> Report:
    """The report of the variants that are still compared: a retired one has no say. Its share of alpha is not
    given to the others, whose intervals and states stay as they are.
    """
    retired = {each.variant for each in report.variants if each.retired}
    if not retired:
        return report
    step = report.step
    if step is not None:
        step = msgspec.structs.replace(step, matured=_kept(step.matured, retired))
    return msgspec.structs.replace(
        report,
        variants=tuple(each for each in report.variants if not each.retired),
        metrics=tuple(_without(metric, retired) for metric in report.metrics),
        step=step,
        redeployments=tuple(each for each in report.redeployments if each.variant not in retired),
    )


def gain(metric: MetricReport, variant: str) -> float:
    """The effect of a treatment, of which more is better; 0 where there is none yet."""
    absolute = metric.effects[variant].absolute or 0.0
    return -absolute if metric.better == "lower" else absolute


def gains(metric: MetricReport, variant: str) -> tuple[float | None, float | None]:
    """The ends of a treatment's interval as gains."""
    low, high = metric.effects[variant].interval.low, metric.effects[variant].interval.high
    if metric.better != "lower":
        return low, high
    return (None if high is None else -high), (None if low is None else -low)


def best(metric: MetricReport, variants: Sequence[str] | None = None) -> str | None:
    """The treatment with the largest gain, of these or of all; None where there is none."""
    chosen = list(metric.effects) if variants is None else variants
    return max(chosen, key=lambda variant: gain(metric, variant), default=None)


def unsettled(report: Report, variant: str) -> list[MetricReport]:
    """The guardrails that do not hold for the treatment."""
    return [metric for metric in report.guardrails if metric.states.get(variant) is not State.HOLDS]


def violations(report: Report, names: Sequence[str] | None = None) -> list[tuple[MetricReport, str]]:
    """The guardrails (of these names; all without names) that a treatment violates, each with it."""
    return [
        (metric, variant)
        for metric in report.guardrails
        if names is None or metric.name in names
        for variant, state in metric.states.items()
        if state is State.VIOLATED
    ]


def _without(metric: MetricReport, retired: set[str]) -> MetricReport:
    return msgspec.structs.replace(
        metric,
        variants=tuple(each for each in metric.variants if each.variant not in retired),
        effects=_kept(metric.effects, retired),
        states=_kept(metric.states, retired),
        series=_kept(metric.series, retired),
    )


def _kept(values: dict[str, _T], retired: set[str]) -> dict[str, _T]:
    return {variant: value for variant, value in values.items() if variant not in retired}
