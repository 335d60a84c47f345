"""Asks the engine for each metric's sums over users, with and without its cap, and how long its tail is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ekiben.control.analysis import metrics, told, usable
from ekiben.control.analysis.metrics import Bucket, bucket_width_s, settles_s
from ekiben.control.analysis.segments import Segmented
from ekiben.control.analysis.source import Source
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Metric
from ekiben.experiments.statistics.moments import Moments

_CONTROL: Final = 0  # its place


class UserSums(NamedTuple):
    """By the metric's name."""

    values: Mapping[str, Mapping[Bucket, Moments]] = {}
    uncapped: Mapping[str, Mapping[Bucket, Moments]] = {}  # of metrics with a cap
    divided: Mapping[str, dict[int, int]] = {}  # of the ratios: who has something to divide by
    p99: Mapping[str, float] = {}  # of the control's users: the 99th percentile of what a cap cuts


def sum_users(
    source: Source,
    values: Table,
    numbers: Sequence[Metric],
    parts: Sequence[Metric],
    segmented: Segmented | None,
    started_at: float,
    now: float,
) -> UserSums:
    """The sums of metrics that are not of predictions, and of `parts` of them, of which only `values` are
    taken. The table `values` has them in this order (`metrics.user_values`). Those of each segment are added
    to `segmented`.
    """
    tables, summed = source.tables, [*numbers, *parts]
    capped: dict[str, dict[Bucket, Moments]] = {}
    whole: dict[str, dict[Bucket, Moments]] = {}
    for settles in told.settling(summed):
        width_s = bucket_width_s(started_at + settles, now)
        names = {
            metric.name: metrics.columns_of(place, metric)
            for place, metric in enumerate(summed)
            if settles_s(metric) == settles
        }
        columns = [each for of in names.values() for each in of]
        counts = tables.rows(metrics.matured_users(source.users(), settles, width_s, now))
        sums = tables.rows(metrics.matured_sums(values, columns, settles, width_s, now))
        for name, of in names.items():
            for made, each in zip((capped, whole), of, strict=False):
                made[name] = metrics.moments(counts, sums, each, settles, width_s, now)
    p99 = dict(_percentiles(tables, values, numbers, capped, now))
    divided = {
        metric.name: usable.divided_by_variant(tables, values, place, settles_s(metric), now)
        for place, metric in enumerate(numbers)
        if metric.kind.of_some_users
    }
    if segmented is not None and numbers:
        segmented.add_values(values, numbers, now)
    return UserSums(capped, whole, divided, p99)


def _percentiles(
    tables: EventTables,
    values: Table,
    numbers: Sequence[Metric],
    moments: Mapping[str, Mapping[Bucket, Moments]],
    now: float,
) -> Iterator[tuple[str, float]]:
    # Users without an outcome have 0 of everything and are not in `values`.
    for place, metric in enumerate(numbers):
        users = sum(each.n for bucket, each in moments[metric.name].items() if bucket.variant == _CONTROL)
        if metric.kind.takes_cap and users:
            for row in tables.rows(metrics.largest(values, place, metric, _CONTROL, now, users // 100)):
                if row["size"]:
                    yield metric.name, row["size"]
