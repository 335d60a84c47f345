"""A metric's values as `ekiben report` writes them."""

from __future__ import annotations

from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.metric import MetricReport
from ekiben.terminal.tables import NONE


def level_of(metric: MetricReport, value: float | None, *, signed: bool = False) -> str:
    """A value of the metric, or with its sign a difference of two."""
    if value is None:
        return NONE
    if kind_of(metric.kind).is_share:
        return f"{100 * value:+.2f} pp" if signed else f"{100 * value:.2f} %"
    return f"{value:+.4g}" if signed else f"{value:.4g}"


def interval_of(metric: MetricReport, interval: Interval) -> str:
    """The interval of an effect on the metric."""
    if interval.low is None and interval.high is None:
        return "not known yet"
    low, high = (level_of(metric, end, signed=True) for end in (interval.low, interval.high))
    return f"{low} to {high}"
