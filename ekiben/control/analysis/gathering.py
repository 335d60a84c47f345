"""Everything that a report needs of the engine: which expressions are computed, in which order, once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ekiben.control.analysis import delays, differing, exposures, label_sums, told, usable
from ekiben.control.analysis.delays import ArrivalCount
from ekiben.control.analysis.label_sums import LabelSums
from ekiben.control.analysis.metrics import Bucket, matured, moments_of, names_of, settles_s
from ekiben.control.analysis.reasons import ORDER, Line, Reason, name_reason
from ekiben.control.analysis.segments import Segmented, SegmentSums
from ekiben.control.analysis.source import Source
from ekiben.control.analysis.summing import sum_users
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Experiment, Metric
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.reports.past import Step, StepUsers
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from ekiben.state.documents.document import Stored


class AnswerCount(msgspec.Struct, frozen=True):
    """What answered: how many requests, when first and when last."""

    assigned_by: str | None
    variant: str | None
    version: str | None
    model_version: str | None
    result: str | None
    requests: int
    first_at: float
    last_at: float


class Evidence(msgspec.Struct, frozen=True):
    """What the engine said of an experiment's phase. Variants are places in the document's order; those in
    two variants count in `users`, at the first, and in nothing else.
    """

    answers: tuple[AnswerCount, ...] = ()
    started_at: float | None = None
    users: Mapping[int, int] = {}
    crossed: int = 0
    overridden: int = 0
    step: StepUsers | None = None
    requests: Mapping[str, Mapping[int, Moments]] = {}  # by the metric's name
    first_results: Mapping[str, Mapping[int, tuple[bool, ...]]] = {}  # of the first users only
    values: Mapping[str, Mapping[Bucket, Moments]] = {}  # by the metric's name
    uncapped: Mapping[str, Mapping[Bucket, Moments]] = {}  # of metrics with a cap
    p99: Mapping[str, float] = {}  # of the control's users: the 99th percentile of what a cap cuts
    labels: Mapping[str, Mapping[int, LabelSums]] = {}
    segments: Mapping[str, Sequence[SegmentSums]] = {}  # by the attribute's name
    delays: Mapping[str, Sequence[ArrivalCount]] = {}
    usable: Mapping[str, tuple[Mapping[int, int], Mapping[int, int]]] = {}
    """Of a metric that is taken over some users only: the matured users, and those who have an outcome."""
    pairs: Mapping[str, Mapping[int, differing.Pair]] = {}  # by the metric's name and the treatment
    received: int = 0  # outcomes of anybody since the phase started
    outcomes: tuple[Line, ...] = ()  # what became of those, and of earlier ones that count


def gather(source: Source, key: str, stored: Stored, now: float, step: Step | None = None) -> Evidence:
    """Ask for everything; `step` is the ramp's. Raises what the engine raises."""
    tables, experiment = source.tables, stored.document.experiments[key]
    answers = tuple(AnswerCount(**row) for row in source.answers())
    started_at = min((each.first_at for each in answers if each.assigned_by == "hash"), default=None)
    overridden = source.overridden() if any(each.assigned_by == "override" for each in answers) else 0
    if started_at is None:
        return Evidence(answers=answers, overridden=overridden)
    users = source.users()
    split = tables.rows(exposures.split(users))
    alone = [row for row in split if not row["crossed"]]
    joined = Counter[int]()
    for row in split:
        joined[row["variant"]] += row["users"]
    evidence = Evidence(
        answers=answers,
        started_at=started_at,
        users=dict(joined),
        crossed=sum(row["users"] for row in split if row["crossed"]),
        overridden=overridden,
        step=_step_users(tables, experiment, users, step, now),
        requests={
            metric: {row["variant"]: moments_of(each.counted, row["users"], row) for row in alone}
            for metric, each in REQUEST_METRICS.items()
        },
        first_results=_first_results(
            tables, users, min(joined[place] for place, _ in enumerate(experiment.variants))
        ),
    )
    segmented = Segmented(tables, users, experiment.segments) if experiment.segments else None
    if experiment.metrics:
        evidence = _with_outcomes(source, stored, key, segmented, evidence, now)
    if segmented is not None:
        evidence = msgspec.structs.replace(evidence, segments=segmented.sums())
    return evidence


def _first_results(tables: EventTables, users: Table, fewest: int) -> dict[str, dict[int, tuple[bool, ...]]]:
    """Of each guardrail that has a result of its own, whether the first request of each variant's first users
    had it: as long as a variant has too few for an interval.
    """
    if fewest >= JUDGED_FROM:
        return {}
    rows = tables.rows(exposures.first_results(users, JUDGED_FROM))
    return {
        metric: {
            place: tuple(row[each.counted] for row in rows if row["variant"] == place)
            for place in {row["variant"] for row in rows}
        }
        for metric, each in REQUEST_METRICS.items()
        if each.result is not None
    }


def _step_users(
    tables: EventTables, experiment: Experiment, users: Table, step: Step | None, now: float
) -> StepUsers | None:
    if step is None or experiment.ramp is None:
        return None
    judged = experiment.ramp.guardrails
    settles = [
        settles_s(metric)
        for metric in experiment.metrics
        if metric.guardrail is not None and (judged is None or metric.name in judged)
    ]
    rows = tables.rows(exposures.joined_since(users, step.widened, max(settles, default=0.0), now))
    found = {row["variant"]: row["users"] for row in rows}
    matured = {name: found.get(place, 0) for place, name in enumerate(experiment.variants)}
    return StepUsers(began=step.began, matured=matured)


def _with_outcomes(
    source: Source,
    stored: Stored,
    key: str,
    segmented: Segmented | None,
    evidence: Evidence,
    now: float,
) -> Evidence:
    assert evidence.started_at is not None
    tables, started_at = source.tables, evidence.started_at
    experiment = stored.document.experiments[key]
    declared = experiment.metrics
    found = source.outcomes(started_at)
    names = names_of(declared)
    others = [each for other, each in stored.document.experiments.items() if other != key]
    elsewhere = names_of([metric for each in others for metric in each.metrics]) - names
    lines = [*_by_name(found.by_name, names, elsewhere), Line(Reason.REPEATED_ID, found.repeats)]
    lines += (Line(ORDER[row["lost"]], row["count"], row["name"]) for row in found.lost)
    lines += (
        Line(ORDER[row["reason"]], row["count"], row["name"], row["age_s"], row["earlier"])
        for row in tables.rows(told.at(found.of_users.told, declared, now))
    )
    of_users = found.of_users
    gathered = {
        metric.name: _labels(tables, of_users.scored[metric.name], metric, segmented, now)
        for metric in declared
        if metric.kind.of_predictions
    }
    having = {name: {place: sums.users for place, sums in each.items()} for name, each in gathered.items()}
    numbers = [metric for metric in declared if not metric.kind.of_predictions]
    whole, parts = differing.of_requests(numbers), differing.parts(experiment, numbers)
    sums = sum_users(source, of_users.values, whole, parts, segmented, started_at, now)
    having |= sums.divided
    return msgspec.structs.replace(
        evidence,
        values=sums.values,
        uncapped=sums.uncapped,
        p99=sums.p99,
        labels=gathered,
        pairs=_pairs(source, experiment, numbers, sums.values, started_at, now),
        delays={
            metric.name: delays.arrivals(tables, of_users.arrived[metric.name], metric, now)
            for metric in declared
        },
        usable={
            metric.name: (
                usable.matured_by_variant(tables, source.users(), settles_s(metric), now),
                having[metric.name],
            )
            for metric in declared
            if metric.name in having
        },
        received=found.received,
        outcomes=tuple(lines),
    )


def _by_name(rows: Sequence[Mapping[str, Any]], names: set[str], elsewhere: set[str]) -> Iterator[Line]:
    """What is known without knowing whose they are."""
    for row in rows:
        yield Line(Reason.VALUE, row["unusable"], row["name"])
        if row["name"] not in names:
            reason = name_reason(row["name"], names, elsewhere)
            yield Line(reason, row["count"] - row["unusable"], row["name"])


def _labels(
    tables: EventTables, scored: Table, metric: Metric, segmented: Segmented | None, now: float
) -> dict[int, LabelSums]:
    scored = tables.keep(matured(scored, settles_s(metric), now))
    found = label_sums.gathered(tables, scored, metric, tables.rows(label_sums.calibration(scored)))
    if segmented is not None:
        segmented.add_labels(scored, metric)
    tables.drop(scored)
    return found


def _pairs(
    source: Source,
    experiment: Experiment,
    numbers: Sequence[Metric],
    values: Mapping[str, Mapping[Bucket, Moments]],
    started_at: float,
    now: float,
) -> dict[str, dict[int, differing.Pair]]:
    answers = source.second_answers(started_at)
    if answers is None:
        return {}
    known = answers.filter(answers["at"] <= now - differing.SETTLES_S)
    return differing.pairs(source.tables, known, source.users(), experiment, numbers, values)
