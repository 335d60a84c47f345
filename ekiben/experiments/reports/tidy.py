"""A report as tidy rows: one row for each observation, one column for each number (H. Wickham, "Tidy data",
Journal of Statistical Software 59 (2014)).

Every row begins with which experiment it is of, so that rows of several reports can stand in one table. An
interval becomes two columns, `…low` and `…high`. Empty is None. Numbers have the report's units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

import msgspec

from ekiben.experiments.reports.effect import Effect, Interval
from ekiben.experiments.reports.metric import VariantMetric
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport

Row = dict[str, Any]


def metric_rows(report: Report) -> Iterator[Row]:
    """A row for each metric and variant, the control first.

    `variant`, `version`, `assigned_users` and `requests` are of the variant. `users`, `mean`, `std`, `low`
    and `high` are of the metric in it. The columns that begin with `effect_` are the treatment minus the
    control, and `state` is what they say. They are empty in the control's row.
    """
    for metric in report.metrics:
        found = {each.variant: each for each in metric.variants}
        for variant in report.variants:
            effect = metric.effects.get(variant.variant)
            yield {
                **_of(report),
                "metric": metric.name,
                **_columns(metric, without=("name",)),
                "variant": variant.variant,
                "version": variant.version,
                "assigned_users": variant.users,
                "requests": variant.requests,
                **_columns(found.get(variant.variant), VariantMetric, without=("variant",)),
                **{f"effect_{name}": value for name, value in _columns(effect, Effect).items()},
                "state": _plain(metric.states.get(variant.variant)),
            }


def series_rows(report: Report) -> Iterator[Row]:
    """A row for each metric, treatment and time: the effect as it was known `at` then, on so many `users`."""
    for metric in report.metrics:
        for variant, points in metric.series.items():
            for point in points:
                yield {
                    **_of(report),
                    "metric": metric.name,
                    "variant": variant,
                    **_columns(point),
                }


def day_rows(report: Report) -> Iterator[Row]:
    """A row for each metric, treatment and day of first exposure: the effect among its users."""
    for metric in report.metrics:
        for variant, days in metric.cohorts.items():
            for day in days:
                yield {**_of(report), "metric": metric.name, "variant": variant, **_columns(day)}


def segment_rows(report: Report) -> Iterator[Row]:
    """A row for each segment, metric and treatment. The columns that begin with `effect_` are as in
    `metric_rows`.
    """
    for breakdown in report.breakdowns:
        for segment in breakdown.segments:
            for each in segment.effects:
                yield {
                    **_of(report),
                    "attribute": breakdown.attribute,
                    "segment": segment.name,
                    "segment_kind": str(segment.kind),
                    **_columns(each),
                    **{f"effect_{name}": value for name, value in _columns(each.effect, Effect).items()},
                }


def left_out_rows(report: Report) -> Iterator[Row]:
    """A row for each reason for which users or outcomes do not count."""
    for left in report.left_out:
        yield {**_of(report), **_columns(left)}


def shadow_row(report: ShadowReport) -> Row:
    """A shadow version beside the version that answered."""
    latencies = {
        f"{whose}latency_{name}_ms": value
        for whose, found in (("", report.latency_ms), ("against_", report.against_latency_ms))
        for name, value in found.items()
    }
    return {**_columns(report), **latencies}


def _of(report: Report) -> Row:
    return {
        "experiment": report.experiment,
        "phase": report.phase,
        "model": report.model,
        "status": report.status,
        "report_at": report.at,
    }


def _columns(value: Any, kind: type[msgspec.Struct] | None = None, without: Sequence[str] = ()) -> Row:
    """The flat fields of a structure as columns, all None where there is none; `kind` is its type."""
    columns: Row = {}
    for field in msgspec.structs.fields(kind or type(value)):
        held = None if value is None else getattr(value, field.name)
        if field.type is Interval:
            prefix = field.name.removesuffix("interval")
            columns[f"{prefix}low"] = None if held is None else held.low
            columns[f"{prefix}high"] = None if held is None else held.high
        elif field.name not in without and not _is_deep(field.type):
            columns[field.name] = _plain(held)
    return columns


def _is_deep(kind: Any) -> bool:
    """Whether a field holds more than one value."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct | tuple | dict):
        return True
    return get_origin(kind) in (tuple, dict) or any(map(_is_deep, get_args(kind)))


def _plain(value: Any) -> Any:
    """The text of an enum."""
    return str(value) if isinstance(value, str) else value
