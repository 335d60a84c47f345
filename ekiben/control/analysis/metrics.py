"""Metrics as expressions: from users and outcomes to sums (`ekiben.experiments.statistics.moments`).

A user counts for a metric once the metric's window has closed and outcomes have had their time to arrive
(`arrives_within`); from then on the user's value never changes. Where a metric says nothing of arrival, what
comes later changes it still. The sums are taken by the time of the first exposure (`Bucket`). What was known
at any time before is a sum of those that had matured by then, and so is what is known of users who came on
one day. Users without an outcome have 0 and add to nothing but the count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final, NamedTuple

import ibis

from ekiben.control.analysis.outcomes import code
from ekiben.control.analysis.reasons import Reason
from ekiben.control.analysis.tables import Table
from ekiben.experiments.document import Metric
from ekiben.experiments.statistics.moments import Moments

COVARIATE_DAYS: Final = 28
"""A covariate is what happened in so many days before the first exposure."""

NO_TIME_BEFORE_S: Final = 946_684_800.0
"""The year 2000. An earlier time was never set: the year 1, or 1970."""

MAX_POINTS: Final = 60
_WIDTHS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_DAY_S: Final = 86_400.0


class Bucket(NamedTuple):
    """Users of one variant (its place) whose first exposure was from `since` on and before `until`. At
    `ends_at` the last of them has matured.
    """

    variant: int
    since: float
    until: float
    ends_at: float


def bucket_width_s(start: float, end: float) -> int:
    """How wide stretches of time are of which at most `MAX_POINTS` cover [start, end].

    They begin at multiples of it: a point of a series stays where it is as time goes on.
    """
    least = max(end - start, 0.0) / (MAX_POINTS - 1)
    return next((width for width in _WIDTHS_S if width >= least), 86_400 * ceil(least / _DAY_S))


def moment_sums(of: str, x: Any, y: Any) -> dict[str, Any]:
    """The aggregates that `moments_of` reads, of two columns with a row for each user."""
    terms = {"x": x, "xx": x * x, "y": y, "yy": y * y, "xy": x * y}
    return {f"{name}_{of}": term.sum() for name, term in terms.items()}


def moments_of(of: str, users: int, row: Mapping[str, Any]) -> Moments:
    """The moments of so many users from a row of `moment_sums`; what is missing adds up to 0."""
    return Moments(users, *(float(row.get(f"{name}_{of}") or 0.0) for name in ("x", "xx", "y", "yy", "xy")))


def window_s(metric: Metric) -> float:
    """How long outcomes count, in seconds."""
    return metric.window_hours * 3600


def settles_s(metric: Metric) -> float:
    """How long after the first exposure a user matures, in seconds."""
    return metric.settles_hours * 3600


def in_window(outcomes: Table, metric: Metric) -> Any:
    """Which outcomes happened after the first exposure, before the window closed."""
    closes_at = after(outcomes, window_s(metric))
    return (outcomes["at"] >= outcomes.first_at) & (outcomes["at"] < closes_at)


def in_time(outcomes: Table, metric: Metric) -> Any:
    """Which outcomes arrived until their user matured; all of them where the metric has no limit."""
    if metric.arrives_within is None:
        return ibis.literal(True)
    return outcomes.received_at <= after(outcomes, settles_s(metric))


def has_matured(table: Table, metric: Metric, now: float) -> Any:
    """Whose user had matured by `now`."""
    return after(table, settles_s(metric)) <= now


def back_s(metrics: Sequence[Metric]) -> float:
    """How long before the first exposure outcomes are looked at, in seconds."""
    return COVARIATE_DAYS * _DAY_S if any(metric.covariate is not None for metric in metrics) else 0.0


def names_of(metrics: Sequence[Metric]) -> set[str]:
    """The outcomes that metrics are made of."""
    used = ((metric.outcome, metric.denominator, metric.covariate) for metric in metrics)
    return {name for names in used for name in names if name is not None}


def columns_of(place: int, metric: Metric) -> tuple[str, ...]:
    """What a metric is called in columns: by its place, and where it has a cap, also without it."""
    return (str(place),) if metric.cap is None else (str(place), f"{place}_uncapped")


def user_values(outcomes: Table, metrics: Sequence[Metric], of_user: Sequence[str]) -> Table:
    """One row for each user (of one variant) with an outcome: the columns `of_user`, which say the same in
    each of the user's outcomes, and for each metric, by its names of `columns_of`, its value x and its y (a
    ratio's denominator or the covariate; 0 without).
    """
    columns: dict[str, Any] = {}
    for place, metric in enumerate(metrics):
        whole = _value(outcomes, metric)
        pairs = [whole] if metric.cap is None else [metric.kind.capped(*whole, metric.cap), whole]
        for of, (x, y) in zip(columns_of(place, metric), pairs, strict=True):
            columns |= {f"x_{of}": x, f"y_{of}": y}
    return outcomes.group_by("user_hash").aggregate(
        **{name: outcomes[name].arbitrary() for name in of_user}, **columns
    )


def reason(outcomes: Table, metric: Metric, started_at: float) -> Any:
    """What each outcome whose user counts is to a metric once the user's window has closed, as a reason's
    code; NULL where its name is another metric's. An outcome is counted exactly where `user_values` has it.
    """
    used = outcomes.name.isin(sorted(names_of([metric])))
    return ibis.cases(
        (~used, ibis.null("int8")),
        (_inside(outcomes, metric) | _as_covariate(outcomes, metric), code(Reason.COUNTED)),
        *outside(outcomes, started_at),
        (~outcomes.name.isin(summed(metric)), code(Reason.COVARIATE_AFTER)),
        (in_window(outcomes, metric), code(Reason.ARRIVED_LATE)),
        else_=code(Reason.LATE),
    )


def outside(outcomes: Table, started_at: float) -> list[tuple[Any, Any]]:
    """The cases of an outcome that is too early, the earliest first."""
    return [
        (outcomes["at"] < NO_TIME_BEFORE_S, code(Reason.NO_TIME)),
        (outcomes["at"] < started_at, code(Reason.BEFORE_START)),
        (outcomes["at"] < outcomes.first_at, code(Reason.BEFORE_FIRST)),
    ]


def matured_users(users: Table, settles: float, width_s: int, now: float) -> Table:
    """(variant, bucket, n): users who had matured by `now`, by when they came."""
    stretches = _matured(users.filter(~users.crossed), settles, width_s, now)
    return stretches.group_by("variant", "bucket").aggregate(n=stretches.count())


def matured_sums(values: Table, names: Sequence[str], settles: float, width_s: int, now: float) -> Table:
    """(variant, bucket) and the sums of metrics with these names of `columns_of`, of which all users mature
    alike.
    """
    stretches = _matured(values, settles, width_s, now)
    return stretches.group_by("variant", "bucket").aggregate(**sums_of(stretches, names))


def sums_of(values: Table, names: Sequence[str]) -> dict[str, Any]:
    """The aggregates that `moments_of` reads of metrics with these names, in rows of `user_values`."""
    sums: dict[str, Any] = {}
    for of in names:
        sums |= moment_sums(of, values[f"x_{of}"], values[f"y_{of}"])
    return sums


def matured(table: Table, settles: float, now: float) -> Table:
    """The rows of users who had matured by `now`, `settles` seconds after the first exposure."""
    return table.filter(after(table, settles) <= now)


def moments(
    users: Sequence[Mapping[str, Any]],
    sums: Sequence[Mapping[str, Any]],
    of: str,
    settles: float,
    width_s: int,
    now: float,
) -> dict[Bucket, Moments]:
    """The rows of `matured_users` and of `matured_sums` as moments, of the metric with this name."""
    found = {(row["variant"], row["bucket"]): row for row in sums}
    made: dict[Bucket, Moments] = {}
    for row in users:
        since = row["bucket"] * float(width_s)
        until = since + width_s
        bucket = Bucket(row["variant"], since, until, min(until + settles, now))
        made[bucket] = moments_of(of, row["n"], found.get((row["variant"], row["bucket"]), {}))
    return made


def largest(values: Table, place: int, metric: Metric, variant: int, now: float, above: int) -> Table:
    """One row at most: the `size` of what a cap cuts, of the user of a variant whom so many are above."""
    of = columns_of(place, metric)[-1]
    theirs = matured(values, settles_s(metric), now).filter(values.variant == variant)
    sizes = theirs.select(size=metric.kind.size(theirs[f"x_{of}"], theirs[f"y_{of}"]))
    return sizes.order_by(ibis.desc("size")).limit(1, offset=above)


def _value(outcomes: Table, metric: Metric) -> tuple[Any, Any]:
    def total(where: Any) -> Any:
        return outcomes.value.sum(where=where).fill_null(0.0)

    inside = _inside(outcomes, metric)
    y: Any = ibis.literal(0.0)
    if metric.denominator is not None:
        y = total(inside & (outcomes.name == metric.denominator))
    elif metric.covariate is not None:
        y = total(_as_covariate(outcomes, metric))
    own = inside & (outcomes.name == metric.outcome)
    return metric.kind.of_user(outcomes, own), y


def summed(metric: Metric) -> list[str]:
    """The names of the outcomes that are summed over the window."""
    return sorted({metric.outcome, metric.denominator or metric.outcome})


def _inside(outcomes: Table, metric: Metric) -> Any:
    return outcomes.name.isin(summed(metric)) & in_window(outcomes, metric) & in_time(outcomes, metric)


def _as_covariate(outcomes: Table, metric: Metric) -> Any:
    if metric.covariate is None:
        return ibis.literal(False)
    return (
        (outcomes.name == metric.covariate)
        & (outcomes["at"] < outcomes.first_at)
        & (outcomes["at"] >= outcomes.first_at - COVARIATE_DAYS * _DAY_S)
    )


def after(table: Table, seconds: float) -> Any:
    # One sum for all who ask when a window closes, so that they agree to the last digit.
    return table.first_at + seconds


def _matured(table: Table, settles: float, width_s: int, now: float) -> Table:
    bucket = (table.first_at / width_s).floor().cast("int64")
    return matured(table.mutate(bucket=bucket), settles, now)
