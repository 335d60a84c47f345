"""Metrics as expressions: from users and their outcomes to the sums that `experiments.moments` holds.

A user counts for a metric once the metric's window has closed; from then on the user's value never changes.
So the sums are taken by the time at which users matured (`Clock`): what was known at any time before is a
sum of those before it, exactly. Users without an outcome have 0 and add to nothing but the count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final, NamedTuple

import ibis
import msgspec

from control.event_tables import Table
from experiments.document import Metric, MetricKind
from experiments.moments import Moments

COVARIATE_DAYS: Final = 28
"""A covariate is what happened in so many days before the first exposure."""

MAX_POINTS: Final = 60
_WIDTHS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_DAY_S: Final = 86_400.0


class Bucket(NamedTuple):
    """Users of one variant (its place) who matured in one stretch of time."""

    variant: int
    ends_at: float


class Clock(msgspec.Struct, frozen=True):
    """Stretches of time of one width, at most `MAX_POINTS` of them, that begin at multiples of it: a point of
    a series stays where it is as time goes on.
    """

    width_s: int

    @classmethod
    def between(cls, start: float, end: float) -> Clock:
        """A clock for [start, end]."""
        least = max(end - start, 0.0) / (MAX_POINTS - 1)
        for width in _WIDTHS_S:
            if width >= least:
                return cls(width)
        return cls(86_400 * ceil(least / _DAY_S))


class Values(msgspec.Struct, frozen=True):
    """What the engine said of one metric."""

    moments: Mapping[Bucket, Moments]
    late: int  # outcomes after the user's window


def window_s(metric: Metric) -> float:
    """How long outcomes count, in seconds."""
    return metric.window_hours * 3600


def back_s(metrics: Sequence[Metric]) -> float:
    """How long before the first exposure outcomes are looked at, in seconds."""
    return COVARIATE_DAYS * _DAY_S if any(metric.covariate is not None for metric in metrics) else 0.0


def names_of(metrics: Sequence[Metric]) -> set[str]:
    """The outcomes that metrics are made of."""
    names = {metric.outcome for metric in metrics}
    names |= {metric.denominator for metric in metrics if metric.denominator is not None}
    return names | {metric.covariate for metric in metrics if metric.covariate is not None}


def user_values(attributed: Table, users: Table, metrics: Sequence[Metric]) -> Table:
    """One row for each user (of one variant) with an outcome: `first_at`, `variant`, and for each metric, by
    its place, its value x, its y (a ratio's denominator or the covariate; 0 without) and how many came late.
    """
    fair = users.filter(~users.crossed).select("user_hash", "variant", "first_at")
    joined = attributed.inner_join(fair, "user_hash")
    joined = joined.filter(joined["at"] >= joined.first_at - back_s(metrics))
    columns: dict[str, Any] = {}
    for place, metric in enumerate(metrics):
        columns |= {f"{name}_{place}": value for name, value in _value(joined, metric).items()}
    return joined.group_by("user_hash").aggregate(
        variant=joined.variant.min(), first_at=joined.first_at.min(), **columns
    )


def matured_users(users: Table, window: float, clock: Clock, now: float) -> Table:
    """(variant, bucket, n): users whose window had closed by `now`, by when it did."""
    matured = _matured(users.filter(~users.crossed), window, clock, now)
    return matured.group_by("variant", "bucket").aggregate(n=matured.count())


def matured_sums(values: Table, places: Sequence[int], window: float, clock: Clock, now: float) -> Table:
    """(variant, bucket) and the sums of these metrics, all of this window."""
    matured = _matured(values, window, clock, now)
    sums: dict[str, Any] = {}
    for place in places:
        x, y = matured[f"x_{place}"], matured[f"y_{place}"]
        sums |= {
            f"x_{place}": x.sum(),
            f"xx_{place}": (x * x).sum(),
            f"y_{place}": y.sum(),
            f"yy_{place}": (y * y).sum(),
            f"xy_{place}": (x * y).sum(),
        }
    return matured.group_by("variant", "bucket").aggregate(**sums)


def late_outcomes(values: Table, metrics: Sequence[Metric]) -> Table:
    """One row: for each metric, by its place, how many outcomes came after their user's window."""
    return values.aggregate(
        **{f"late_{place}": values[f"late_{place}"].sum() for place in range(len(metrics))}
    )


def moments(
    users: Sequence[Mapping[str, Any]],
    sums: Sequence[Mapping[str, Any]],
    place: int,
    clock: Clock,
    now: float,
) -> dict[Bucket, Moments]:
    """The rows of `matured_users` and of `matured_sums` as moments, of one metric."""
    found = {(row["variant"], row["bucket"]): row for row in sums}
    made = {}
    for row in users:
        ends_at = min((row["bucket"] + 1) * float(clock.width_s), now)
        of = found.get((row["variant"], row["bucket"]), {})
        made[Bucket(row["variant"], ends_at)] = Moments(
            row["n"], *(float(of.get(f"{name}_{place}") or 0.0) for name in ("x", "xx", "y", "yy", "xy"))
        )
    return made


def _value(joined: Table, metric: Metric) -> dict[str, Any]:
    since = joined["at"] - joined.first_at
    window = window_s(metric)

    def inside(name: str) -> Any:
        return (joined.name == name) & (joined["at"] >= joined.first_at) & (_before_end(joined, window))

    def total(where: Any) -> Any:
        return joined.value.sum(where=where).fill_null(0.0)

    names = [metric.outcome] if metric.denominator is None else [metric.outcome, metric.denominator]
    late = joined.count(where=joined.name.isin(names) & ~_before_end(joined, window))
    y: Any = ibis.literal(0.0)
    if metric.denominator is not None:
        y = total(inside(metric.denominator))
    elif metric.covariate is not None:
        y = total((joined.name == metric.covariate) & (since < 0))
    if metric.kind is MetricKind.PROPORTION:
        x = (joined.count(where=inside(metric.outcome) & (joined.value != 0)) > 0).cast("float64")
    else:
        x = total(inside(metric.outcome))
    return {"x": x, "y": y, "late": late}


def _before_end(joined: Table, window: float) -> Any:
    # The same sum as in `_matured`, so that both agree to the last digit on when a window closes.
    return joined["at"] < joined.first_at + window


def _matured(table: Table, window: float, clock: Clock, now: float) -> Table:
    closes_at = table.first_at + window
    bucket = (closes_at / clock.width_s).floor().cast("int64")
    return table.mutate(bucket=bucket).filter(closes_at <= now)
