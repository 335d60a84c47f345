"""Predictions that a shadow would decide otherwise, and what came of them as they were decided.

What a version would no longer accept is wholly in the traffic of the version that answered, with its
outcomes. What it would accept besides has none, and nothing tells what it would have brought.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ekiben.control.analysis.metrics import moment_sums, moments_of
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Document
from ekiben.experiments.reports.paired import DecidedOtherwise
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.paired_quality import paired_interval
from ekiben.state.outcomes import MAX_VALUE


class Consequence(msgspec.Struct, frozen=True):
    """An outcome of predictions: its name, how long it counts, and whether it is a label: then the first of a
    prediction counts.
    """

    outcome: str
    window_s: float
    is_label: bool
    alpha: float


def consequences(document: Document, model: str) -> list[Consequence]:
    """The outcomes of the model's experiments, drafts included, that are summed, or are labels of 1 and 0."""
    found: dict[str, Consequence] = {}
    for experiment in document.experiments.values():
        for metric in experiment.metrics if experiment.model == model else ():
            if not metric.kind.is_ratio and metric.classes is None:
                window_s, is_label = metric.window_hours * 3600, metric.kind.of_predictions
                found.setdefault(
                    metric.outcome, Consequence(metric.outcome, window_s, is_label, experiment.alpha)
                )
    return list(found.values())


def decided_otherwise(
    tables: EventTables, both: Table, consequence: Consequence, now: float
) -> Iterator[DecidedOtherwise]:
    """By the shadow's decision, of the predictions whose window is over (`paired.answered_by_both`)."""
    closes_at = both["at"] + consequence.window_s
    differ = both.filter(~both.agreed & both.decision.notnull() & (closes_at <= now))
    differ = differ.select(
        "prediction_id",
        "decision",
        given_at=differ["at"],
        user=differ.user_hash.fill_null(differ.prediction_id),
    )
    brought = _brought(tables.of("outcome"), differ, consequence)
    joined = differ.left_join(brought, "prediction_id")
    users = joined.group_by("decision", "user").aggregate(
        predictions=joined.count(),
        x=joined.value.sum().fill_null(0.0),
        y=joined.value.count().cast("float64"),
    )
    sums = users.group_by("decision").aggregate(
        predictions=users.predictions.sum(),
        users=users.count(where=users.y > 0),
        **moment_sums("of", users.x, users.y),
    )
    for row in sorted(tables.rows(sums), key=lambda row: str(row["decision"])):
        mean = effects.ratio(moments_of("of", row["users"], row))
        yield DecidedOtherwise(
            decision=row["decision"],
            outcome=consequence.outcome,
            predictions=row["predictions"],
            with_outcome=int(row["y_of"] or 0),
            mean=row["x_of"] / row["y_of"] if row["y_of"] else None,
            interval=paired_interval(mean, consequence.alpha),
        )


def _brought(outcomes: Table, differ: Table, consequence: Consequence) -> Table:
    """(prediction_id, value) of those predictions that have the outcome within its window."""
    own = outcomes.filter(
        (outcomes.name == consequence.outcome)
        & outcomes.user_hash.isnull()
        & (outcomes.value.abs() <= MAX_VALUE).fill_null(False)
    ).semi_join(differ, "prediction_id")
    # Of several with one id the first received counts, and of several labels of one prediction too.
    once = own.group_by("prediction_id" if consequence.is_label else "event_id").aggregate(
        of=own.prediction_id.argmin(own.received_at),
        value=own.value.argmin(own.received_at),
        happened_at=own["at"].argmin(own.received_at),
    )
    given = differ.select("given_at", of=differ.prediction_id)
    timed = once.inner_join(given, "of")
    timed = timed.filter(timed.happened_at < timed.given_at + consequence.window_s)
    return timed.group_by(prediction_id=timed["of"]).aggregate(value=timed.value.sum())
