"""What an experiment's page shows of segments and of days of first exposure: charts and tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from ekiben.control.dashboard.charts import bands, cohorts
from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.reports.effect import CohortEffect, Fading
from ekiben.experiments.reports.metric import MetricReport, Role
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.segments import Breakdown, Segment, SegmentEffect


@dataclass(frozen=True, slots=True)
class Broken:
    """One treatment's effect on one metric in each segment. Only what decides is drawn."""

    metric: MetricReport
    variant: str
    rows: tuple[tuple[Segment, SegmentEffect], ...]
    drawn: tuple[Markup, ...]


@dataclass(frozen=True, slots=True)
class BreakdownView:
    """All users by one attribute."""

    breakdown: Breakdown
    first: tuple[Broken, ...]  # of the metric that decides, or of the first
    others: tuple[Broken, ...]


@dataclass(frozen=True, slots=True)
class CohortView:
    """One treatment's effect on one metric by day of first exposure. Only what decides is drawn."""

    metric: MetricReport
    variant: str
    effects: tuple[CohortEffect, ...]
    fading: Fading | None
    drawn: tuple[Markup, ...]


def breakdown_views(report: Report) -> tuple[BreakdownView, ...]:
    """One for each attribute that the report is broken down by."""
    return tuple(_breakdown(report, each) for each in report.breakdowns)


def cohort_views(report: Report) -> tuple[CohortView, ...]:
    """One for each metric of outcomes and each treatment, where a day has enough users. What decides comes
    first.
    """
    metrics = sorted(report.metrics, key=lambda each: each.role is not Role.DECIDES)
    return tuple(
        CohortView(metric, variant, effects, metric.fading.get(variant), _days(metric, variant, effects))
        for metric in metrics
        for variant, effects in metric.cohorts.items()
        if effects
    )


def _breakdown(report: Report, breakdown: Breakdown) -> BreakdownView:
    found = tuple(_broken(report, breakdown))
    main = report.deciding.name if report.deciding else next((each.metric.name for each in found), None)
    return BreakdownView(
        breakdown,
        tuple(each for each in found if each.metric.name == main),
        tuple(each for each in found if each.metric.name != main),
    )


def _broken(report: Report, breakdown: Breakdown) -> Iterator[Broken]:
    for metric in report.metrics:
        for variant in metric.effects:
            rows = tuple(
                (segment, effect)
                for segment in breakdown.segments
                for effect in segment.effects
                if (effect.metric, effect.variant) == (metric.name, variant)
            )
            if rows:
                yield Broken(metric, variant, rows, _segments(metric, variant, rows))


def _segments(
    metric: MetricReport, variant: str, rows: tuple[tuple[Segment, SegmentEffect], ...]
) -> tuple[Markup, ...]:
    known = tuple(
        cohorts.Row(segment.title, each.effect.absolute, each.effect.interval, each.state)
        for segment, each in rows
        if each.effect.absolute is not None and each.effect.interval.low is not None
    )
    if metric.role is not Role.DECIDES or not known:
        return ()
    return tuple(
        cohorts.segments(known, metric.effects[variant].absolute, percent=_is_share(metric), width=width)
        for width in (bands.WIDE, bands.NARROW)
    )


def _days(metric: MetricReport, variant: str, effects: tuple[CohortEffect, ...]) -> tuple[Markup, ...]:
    if metric.role is not Role.DECIDES or len(effects) < 2:
        return ()
    return tuple(
        cohorts.days(effects, metric.effects[variant].absolute, percent=_is_share(metric), width=width)
        for width in (bands.WIDE, bands.NARROW)
    )


def _is_share(metric: MetricReport) -> bool:
    return kind_of(metric.kind).is_share
