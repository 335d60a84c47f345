"""What is known of a model's users without an experiment: live's captured predictions, and their outcomes.

The sample "scores" takes in every second the requests whose users have the lowest hashes
(`router.records.samples`). So there is a hash below which all requests of nearly all seconds are there: the
`cut`. Users below it are complete, and hashes are uniform, so that the cut says which part of all users they
are. In an experiment they would have been first exposed at their first prediction. Left out are those whom an
experiment gave another version than live, and what was before live became live.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import ibis
import msgspec

from ekiben.control.analysis import exposures, metrics, outcomes
from ekiben.control.analysis.metrics import moment_sums, moments_of, window_s
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Experiment
from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.kinds.table import REQUESTS
from ekiben.experiments.reports.history import History, MetricHistory, users_per_day
from ekiben.experiments.statistics.moments import Moments

HISTORY_DAYS: Final = 28
"""How far back a plan looks."""

_SECONDS_BEYOND: Final = 0.01
"""In this share of the seconds the sample may end below the cut: one crowded second must not decide."""
_DAY_S: Final = 86_400.0
_DIGITS: Final = 12  # of a hash, in hex: more than enough for a share


def model_history(tables: EventTables, experiment: Experiment, live: str, now: float) -> History:
    """The history of an experiment's model under its `live` version, for the experiment's metrics.

    The experiment need not exist. Label metrics are not in it: a plan for them needs a report, or a mean and
    a standard deviation.
    """
    sample = tables.of("prediction")
    sample = sample.filter(
        (sample.model == experiment.model)
        & (sample.depth == "scores")
        & sample.user_hash.notnull()
        & (sample["at"] >= now - HISTORY_DAYS * _DAY_S)
    )
    began, cut = _since(tables, sample, live), _cut(tables, sample)
    users = tables.keep(_users(sample, live, began, cut, experiment.request_limits.latency_ms))
    (seen,) = tables.rows(users.aggregate(users=users.count(), first_at=users.first_at.min()))
    if not seen["users"]:
        tables.drop(users)
        return History("", missing=_nothing(experiment.model, live))
    days = (now - seen["first_at"]) / _DAY_S
    found = _of_requests(tables, users) | _of_outcomes(
        tables, experiment, sample, users, seen["first_at"], now
    )
    tables.drop(users)
    return History(
        source=f"{seen['users']:,} users whom {live} served in {days:.1f} days of captured predictions",
        metrics=found,
        users_per_day=users_per_day(seen["users"] / _part(cut), days),
    )


def _since(tables: EventTables, sample: Table, live: str) -> float:
    """When live became live, as far back as the sample knows: after the last that another one served outside
    experiments.
    """
    others = sample.filter(sample.variant.isnull() & (sample.version != live))
    (row,) = tables.rows(others.aggregate(last_at=others["at"].max()))
    return 0.0 if row["last_at"] is None else float(row["last_at"])


def _cut(tables: EventTables, sample: Table) -> str | None:
    """The hash up to which the sample has all users; None where it has everybody."""
    full = sample.filter(sample.weight > 1)
    ends = full.group_by(second=full["at"].floor(), weight=full.weight).aggregate(end=full.user_hash.max())
    (row,) = tables.rows(ends.aggregate(seconds=ends.count()))
    if not row["seconds"]:
        return None
    low = ends.order_by("end").limit(1, offset=int(_SECONDS_BEYOND * row["seconds"]))
    return str(tables.rows(low)[0]["end"])


def _part(cut: str | None) -> float:
    """Which part of all users have a hash up to the cut."""
    return 1.0 if cut is None else (int(cut[:_DIGITS], 16) + 1) / 16 ** len(cut[:_DIGITS])


def _users(sample: Table, live: str, began: float, cut: str | None, slow_ms: float) -> Table:
    """One row for each complete user of live, with the columns of `exposures.users`."""
    sample = sample.filter(sample["at"] > began)
    if cut is not None:
        sample = sample.filter(sample.user_hash <= cut)
    treated = sample.variant.notnull() & ((sample.version != live) | (sample.result == "fallback"))
    users = sample.group_by("user_hash").aggregate(
        **exposures.request_counts(sample, slow_ms),
        first_at=sample["at"].min(),
        treated=treated.fill_null(False).sum(),
    )
    alone = users.filter(users.treated == 0).drop("treated")
    return alone.mutate(variant=ibis.literal(0, "int8"), crossed=ibis.literal(False))


def _of_requests(tables: EventTables, users: Table) -> dict[str, MetricHistory]:
    (row,) = tables.rows(exposures.split(users))
    found = {}
    for name, each in REQUEST_METRICS.items():
        metric = _known(REQUESTS, moments_of(each.counted, row["users"], row))
        if metric is not None:
            found[name] = metric
    return found


def _of_outcomes(
    tables: EventTables, experiment: Experiment, sample: Table, users: Table, began: float, now: float
) -> dict[str, MetricHistory]:
    numbers = [metric for metric in experiment.metrics if not metric.kind.of_predictions]
    if not numbers:
        return {}
    accepted = tables.of("outcome")
    repeated = tables.keep(outcomes.repeated(accepted))
    firsts = outcomes.firsts(accepted, tables.keep(outcomes.repetitions(accepted, repeated)))
    since = began - metrics.back_s(numbers)
    counted = outcomes.counted(firsts, metrics.names_of(numbers), since, began)
    resolved = outcomes.resolved(counted, outcomes.given(sample, ()), "", experiment, ())
    located = outcomes.located(resolved, users, ("variant", "first_at"), with_ids=False)
    theirs = tables.keep(located.filter(located.lost.isnull()))
    values = metrics.user_values(theirs, numbers, ())
    joined = tables.keep(users.left_join(values, "user_hash").drop("user_hash_right"))
    found = {}
    for place, metric in enumerate(numbers):
        # Who has no outcome has 0.
        matured = joined.filter(joined.first_at + window_s(metric) <= now)
        x, y = (matured[f"{name}_{place}"].fill_null(0.0) for name in ("x", "y"))
        known = _metric(tables, metric.kind, matured.select(x=x, y=y))
        if known is not None:
            found[metric.name] = known
    return found


def _metric(tables: EventTables, kind: Kind, values: Table) -> MetricHistory | None:
    """A metric with its tail: of a ratio that of the denominator, which is what its cap cuts."""
    size, squares = (values.y.abs(), "yy_value") if kind.is_ratio else (values.x.abs(), "xx_value")
    (row,) = tables.rows(
        values.aggregate(
            users=values.count(), p99=size.quantile(0.99), **moment_sums("value", values.x, values.y)
        )
    )
    known = _known(kind, moments_of("value", row["users"], row))
    if known is None or not row[squares]:
        return known
    (beyond,) = tables.rows(values.aggregate(squares=(size**2).sum(where=size > row["p99"])))
    share = (beyond["squares"] or 0.0) / row[squares]
    return msgspec.structs.replace(known, p99=row["p99"], beyond_p99=share)


def _known(kind: Kind, moments: Moments) -> MetricHistory | None:
    plain = kind.plain(moments)
    if plain is None:
        return None
    return MetricHistory(plain.users, kind.value(moments), plain.std_error * sqrt(plain.users))


def _nothing(model: str, live: str) -> str:
    return (
        f"no captured predictions of {live} have a user: set models.{model}.capture.scores_per_second in the "
        "experiments file (500, for example) and wait for a metric's window"
    )
