"""Everything that a report needs of the engine: which expressions are computed, in which order, once each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from control.analysis import exposures, labels, metrics, outcomes
from control.analysis.labels import LabelSums
from control.analysis.metrics import Bucket, Clock, window_s
from control.event_tables import EventTables, Table
from experiments.document import Experiment, Metric, MetricKind
from experiments.moments import Moments

_REQUEST_COUNTS = {"error_rate": "errors", "fallback_rate": "fallbacks", "slow_rate": "slow"}


class Answer(msgspec.Struct, frozen=True):
    """What answered: how many requests, and when first."""

    assigned_by: str | None
    variant: str | None
    version: str | None
    model_version: str | None
    result: str | None
    requests: int
    first_at: float


class Evidence(msgspec.Struct, frozen=True):
    """What the engine said of an experiment's phase. Variants are places in the document's order; those in
    two variants count in `users`, at the first, and in nothing else.
    """

    answers: tuple[Answer, ...] = ()
    started_at: float | None = None
    users: Mapping[int, int] = {}
    crossed: int = 0
    overridden: int = 0
    requests: Mapping[str, Mapping[int, Moments]] = {}  # by the metric's name
    values: Mapping[str, Mapping[Bucket, Moments]] = {}  # by the metric's name
    late: Mapping[str, int] = {}
    unknown: int = 0
    labels: Mapping[str, Mapping[int, LabelSums]] = {}
    labels_left_out: Mapping[str, Mapping[str, int]] = {}


def gather(tables: EventTables, key: str, experiment: Experiment, now: float) -> Evidence:
    """Ask the engine. Raises what the engine raises."""
    exposed = exposures.of_phase(tables.exposures, key, experiment.phase)
    answers = tuple(Answer(**row) for row in tables.rows(exposures.answers(exposed)))
    started_at = min((each.first_at for each in answers if each.assigned_by == "hash"), default=None)
    overridden = 0
    if any(each.assigned_by == "override" for each in answers):
        overridden = tables.rows(exposures.overridden(exposed))[0]["users"]
    if started_at is None:
        return Evidence(answers=answers, overridden=overridden)
    limit_ms = experiment.request_limits.latency_ms
    users = tables.keep(exposures.users(exposed, list(experiment.variants), limit_ms))
    split = tables.rows(exposures.split(users))
    evidence = Evidence(
        answers=answers,
        started_at=started_at,
        users=_added(split),
        crossed=sum(row["users"] for row in split if row["crossed"]),
        overridden=overridden,
        requests=_requests([row for row in split if not row["crossed"]]),
    )
    if experiment.metrics:
        evidence = _with_outcomes(tables, key, experiment, users, evidence, now)
    tables.drop(users)
    return evidence


def _added(split: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for row in split:
        found[row["variant"]] = found.get(row["variant"], 0) + row["users"]
    return found


def _requests(split: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, Moments]]:
    return {
        metric: {
            row["variant"]: Moments(
                row["users"],
                row[f"{count}_x"],
                row[f"{count}_xx"],
                row["y"],
                row["yy"],
                row[f"{count}_xy"],
            )
            for row in split
        }
        for metric, count in _REQUEST_COUNTS.items()
    }


def _with_outcomes(
    tables: EventTables, key: str, experiment: Experiment, users: Table, evidence: Evidence, now: float
) -> Evidence:
    assert evidence.started_at is not None
    numbers = [metric for metric in experiment.metrics if metric.kind is not MetricKind.LABEL]
    truths = [metric for metric in experiment.metrics if metric.kind is MetricKind.LABEL]
    since = evidence.started_at - metrics.back_s(experiment.metrics)
    names = metrics.names_of(experiment.metrics)
    repeated = tables.keep(outcomes.repeated(tables.outcomes))
    several = repeated if _count(tables, repeated) else None
    counted = tables.keep(outcomes.counted(tables.outcomes, several, names, since))
    tables.drop(repeated)
    if truths:
        found = outcomes.attributed_with_scores(
            counted, tables.exposures, experiment.model, key, experiment.phase
        )
    else:
        found = outcomes.attributed(counted, tables.exposures, experiment.model)
    attributed = tables.keep(found)
    unknown = _count(tables, counted) - _count(tables, attributed)
    tables.drop(counted)
    gathered = {metric.name: _labels(tables, attributed, users, metric, now) for metric in truths}
    values, late = _values(tables, attributed, users, numbers, evidence.started_at, now)
    tables.drop(attributed)
    return msgspec.structs.replace(
        evidence,
        values=values,
        late=late,
        unknown=unknown,
        labels={name: sums for name, (sums, _) in gathered.items()},
        labels_left_out={name: left_out for name, (_, left_out) in gathered.items()},
    )


def _count(tables: EventTables, table: Table) -> int:
    return int(tables.rows(table.aggregate(rows=table.count()))[0]["rows"])


def _labels(
    tables: EventTables, attributed: Table, users: Table, metric: Metric, now: float
) -> tuple[dict[int, LabelSums], dict[str, int]]:
    of_users = labels.of_users(attributed, users, metric)
    left_out = tables.rows(labels.left_out(of_users, metric))[0]
    scored = tables.keep(labels.scored(of_users, metric, now))
    sums = labels.collected(tables.rows(labels.sums(scored)), tables.rows(labels.calibration(scored)))
    tables.drop(scored)
    return sums, left_out


def _values(
    tables: EventTables,
    attributed: Table,
    users: Table,
    numbers: Sequence[Metric],
    started_at: float,
    now: float,
) -> tuple[dict[str, dict[Bucket, Moments]], dict[str, int]]:
    if not numbers:
        return {}, {}
    values = tables.keep(metrics.user_values(attributed, users, numbers))
    late = tables.rows(metrics.late_outcomes(values, numbers))[0]
    moments = {}
    for window in sorted({window_s(metric) for metric in numbers}):
        clock = Clock.between(started_at + window, now)
        places = [place for place, metric in enumerate(numbers) if window_s(metric) == window]
        counts = tables.rows(metrics.matured_users(users, window, clock, now))
        sums = tables.rows(metrics.matured_sums(values, places, window, clock, now))
        for place in places:
            moments[numbers[place].name] = metrics.moments(counts, sums, place, clock, now)
    tables.drop(values)
    return moments, {metric.name: late[f"late_{place}"] or 0 for place, metric in enumerate(numbers)}
