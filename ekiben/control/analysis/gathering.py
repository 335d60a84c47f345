"""Everything that a report needs of the engine: which expressions are computed, in which order, once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ibis
import msgspec

from ekiben.control.analysis import (
    delays,
    differing,
    exposures,
    label_sums,
    labels,
    metrics,
    outcomes,
    usable,
)
from ekiben.control.analysis.delays import ArrivalCount
from ekiben.control.analysis.label_sums import LabelSums
from ekiben.control.analysis.metrics import Bucket, bucket_width_s, moments_of, settles_s
from ekiben.control.analysis.reasons import ORDER, Line, Reason, name_reason
from ekiben.control.analysis.segments import Segmented, SegmentSums
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Experiment, Metric
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.reports.past import Step, StepUsers
from ekiben.experiments.statistics.moments import Moments
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
    values: Mapping[str, Mapping[Bucket, Moments]] = {}  # by the metric's name
    labels: Mapping[str, Mapping[int, LabelSums]] = {}
    segments: Mapping[str, Sequence[SegmentSums]] = {}  # by the attribute's name
    delays: Mapping[str, Sequence[ArrivalCount]] = {}
    usable: Mapping[str, tuple[Mapping[int, int], Mapping[int, int]]] = {}
    """Of a metric that is taken over some users only: the matured users, and those who have an outcome."""
    pairs: Mapping[str, Mapping[int, differing.Pair]] = {}  # by the metric's name and the treatment
    received: int = 0  # outcomes of anybody since the phase started
    outcomes: tuple[Line, ...] = ()  # what became of those, and of earlier ones that count


def gather(tables: EventTables, key: str, stored: Stored, now: float, step: Step | None = None) -> Evidence:
    """Ask the engine; `step` is the ramp's. Raises what the engine raises."""
    experiment = stored.document.experiments[key]
    exposed = exposures.of_phase(tables.of("exposure"), key, experiment.phase)
    answers = tuple(AnswerCount(**row) for row in tables.rows(exposures.answers(exposed)))
    started_at = min((each.first_at for each in answers if each.assigned_by == "hash"), default=None)
    overridden = 0
    if any(each.assigned_by == "override" for each in answers):
        overridden = tables.rows(exposures.overridden(exposed))[0]["users"]
    if started_at is None:
        return Evidence(answers=answers, overridden=overridden)
    limit_ms = experiment.request_limits.latency_ms
    until = now - differing.SETTLES_S if differing.rules(experiment.metrics) else None
    users = tables.keep(
        exposures.users(exposed, list(experiment.variants), limit_ms, experiment.segments, until)
    )
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
    )
    segmented = Segmented(tables, users, experiment.segments) if experiment.segments else None
    if experiment.metrics:
        evidence = _with_outcomes(tables, stored, key, users, segmented, evidence, now)
    if segmented is not None:
        evidence = msgspec.structs.replace(evidence, segments=segmented.close())
    tables.drop(users)
    return evidence


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
    tables: EventTables,
    stored: Stored,
    key: str,
    users: Table,
    segmented: Segmented | None,
    evidence: Evidence,
    now: float,
) -> Evidence:
    assert evidence.started_at is not None
    experiment, started_at = stored.document.experiments[key], evidence.started_at
    numbers = [metric for metric in experiment.metrics if not metric.kind.of_predictions]
    truths = [metric for metric in experiment.metrics if metric.kind.of_predictions]
    names = metrics.names_of(experiment.metrics)
    others = [each for other, each in stored.document.experiments.items() if other != key]
    elsewhere = metrics.names_of([metric for each in others for metric in each.metrics]) - names
    repetitions = _repetitions(tables)
    firsts = outcomes.firsts(tables.of("outcome"), repetitions)
    lines = [*_by_name(tables.rows(outcomes.by_name(firsts, started_at)), names, elsewhere)]
    since = started_at - metrics.back_s(experiment.metrics)
    counted = outcomes.counted(firsts, names, since, started_at)
    compared = sorted({column for metric in truths for column in labels.compared(metric)})
    rules = differing.rules(numbers)
    located = tables.keep(
        outcomes.located(
            counted, tables.of("exposure"), users, key, experiment, compared, with_ids=bool(rules)
        )
    )
    if repetitions is not None:
        (row,) = tables.rows(outcomes.repeats_since(repetitions, started_at))
        lines.append(Line(Reason.REPEATED_ID, row["count"]))
        tables.drop(repetitions)
    lines += _lost(tables, located, key, experiment)
    theirs = _marked(tables, located, truths, now)
    lines += _of_users(tables, theirs, experiment, started_at, now)
    gathered = {metric.name: _labels(tables, theirs, metric, segmented, now) for metric in truths}
    having = {name: {place: sums.users for place, sums in each.items()} for name, each in gathered.items()}
    arrived = {metric.name: delays.arrivals(tables, theirs, metric, now) for metric in experiment.metrics}
    answers = None
    if rules:
        answers = differing.second_answers(tables.of("shadow"), key, experiment, rules)
        answers = answers.filter(answers["at"] >= started_at)
        theirs = differing.marked(theirs, answers, experiment, rules)
    parts, whole = differing.parts(experiment, numbers), differing.of_requests(numbers)
    values, divided = _values(tables, theirs, users, whole, parts, segmented, started_at, now)
    having |= divided
    tables.drop(located)
    received = tables.of("outcome").filter(lambda t: t.received_at >= started_at)
    return msgspec.structs.replace(
        evidence,
        values=values,
        pairs={}
        if answers is None
        else differing.pairs(
            tables,
            answers.filter(answers["at"] <= now - differing.SETTLES_S),
            users,
            experiment,
            numbers,
            values,
        ),
        labels=gathered,
        delays=arrived,
        usable={
            metric.name: (
                usable.matured_by_variant(tables, users, settles_s(metric), now),
                having[metric.name],
            )
            for metric in experiment.metrics
            if metric.name in having
        },
        received=_count(tables, received),
        outcomes=tuple(lines),
    )


def _count(tables: EventTables, table: Table) -> int:
    return int(tables.rows(table.aggregate(rows=table.count()))[0]["rows"])


def _repetitions(tables: EventTables) -> Table | None:
    """The outcomes whose id more than one has, kept; None when there are none."""
    repeated = tables.keep(outcomes.repeated(tables.of("outcome")))
    found = None
    if _count(tables, repeated):
        found = tables.keep(outcomes.repetitions(tables.of("outcome"), repeated))
    tables.drop(repeated)
    return found


def _by_name(rows: Sequence[Mapping[str, Any]], names: set[str], elsewhere: set[str]) -> Iterator[Line]:
    """What is known without knowing whose they are."""
    for row in rows:
        yield Line(Reason.VALUE, row["unusable"], row["name"])
        if row["name"] not in names:
            reason = name_reason(row["name"], names, elsewhere)
            yield Line(reason, row["count"] - row["unusable"], row["name"])


def _lost(tables: EventTables, located: Table, key: str, experiment: Experiment) -> list[Line]:
    """The outcomes that lead to no user of this phase."""
    lost = located.filter(located.accepted & located.lost.notnull())
    rows = tables.rows(lost.group_by("lost", "name").aggregate(count=lost.count()))
    unknown = ORDER.index(Reason.UNKNOWN_USER)
    found = [Line(ORDER[row["lost"]], row["count"], row["name"]) for row in rows if row["lost"] != unknown]
    if len(found) < len(rows):
        strangers = tables.keep(outcomes.strangers(located))
        rows = tables.rows(outcomes.seen_elsewhere(strangers, tables.of("exposure"), key, experiment.phase))
        found += [Line(ORDER[row["reason"]], row["count"], row["name"]) for row in rows]
        tables.drop(strangers)
    return found


def _marked(tables: EventTables, located: Table, truths: Sequence[Metric], now: float) -> Table:
    """The outcomes whose user counts, with a mark for each label metric (`labels.repetitions_marked`)."""
    theirs = located.filter(located.lost.isnull())
    for metric in truths:
        repeated = tables.keep(labels.repeated(theirs, metric, now))
        several = repeated if _count(tables, repeated) else None
        theirs = labels.repetitions_marked(theirs, several, metric, now)
    return theirs


def _of_users(
    tables: EventTables, theirs: Table, experiment: Experiment, started_at: float, now: float
) -> list[Line]:
    """What each outcome of a user who counts is to the metrics."""
    reasons = [
        labels.reason(theirs, metric, now, started_at)
        if metric.kind.of_predictions
        else differing.reason(theirs, metric, metrics.reason(theirs, metric, now, started_at))
        for metric in experiment.metrics
    ]
    explained = theirs.mutate(reason=ibis.least(*reasons) if len(reasons) > 1 else reasons[0])
    explained = explained.filter(explained.accepted | (explained.reason == outcomes.code(Reason.COUNTED)))
    early = explained.reason.isin([ORDER.index(each) for each in (Reason.BEFORE_FIRST, Reason.BEFORE_START)])
    rows = tables.rows(
        explained.group_by("reason", "name").aggregate(
            count=explained.count(),
            earlier=explained.count(where=~explained.accepted),
            age_s=(explained.received_at - explained["at"]).quantile(0.5, where=early),
        )
    )
    return [
        Line(ORDER[row["reason"]], row["count"], row["name"], row["age_s"], row["earlier"]) for row in rows
    ]


def _labels(
    tables: EventTables, theirs: Table, metric: Metric, segmented: Segmented | None, now: float
) -> dict[int, LabelSums]:
    scored = tables.keep(labels.scored(theirs, metric, now))
    found = label_sums.gathered(tables, scored, metric, tables.rows(label_sums.calibration(scored)))
    if segmented is not None:
        segmented.add_labels(scored, metric)
    tables.drop(scored)
    return found


def _values(
    tables: EventTables,
    theirs: Table,
    users: Table,
    whole: Sequence[Metric],
    parts: Sequence[Metric],
    segmented: Segmented | None,
    started_at: float,
    now: float,
) -> tuple[dict[str, dict[Bucket, Moments]], dict[str, dict[int, int]]]:
    """The moments of each metric, and of the ratios who has something to divide by."""
    numbers = [*whole, *parts]
    if not numbers:
        return {}, {}
    values = tables.keep(metrics.user_values(theirs, numbers))
    moments = {}
    for settles in sorted({settles_s(metric) for metric in numbers}):
        width_s = bucket_width_s(started_at + settles, now)
        places = [place for place, metric in enumerate(numbers) if settles_s(metric) == settles]
        counts = tables.rows(metrics.matured_users(users, settles, width_s, now))
        sums = tables.rows(metrics.matured_sums(values, places, settles, width_s, now))
        for place in places:
            moments[numbers[place].name] = metrics.moments(counts, sums, place, settles, width_s, now)
    divided = {
        metric.name: usable.divided_by_variant(tables, values, place, settles_s(metric), now)
        for place, metric in enumerate(numbers)
        if metric.kind.of_some_users
    }
    if segmented is not None:
        segmented.add_values(values, whole, now)
    tables.drop(values)
    return moments, divided
