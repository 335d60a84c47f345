"""Ground truth beside the scores that were served: which labels count, and why the others do not.

A label belongs to a prediction. It counts when its user counts and the user's own version gave the score: of
what live answered in its place the version learns nothing. Of several labels of one prediction the first
received counts. `label_sums` makes sums of those that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis

from ekiben.control.analysis.metrics import in_time, in_window, outside
from ekiben.control.analysis.outcomes import code
from ekiben.control.analysis.reasons import Reason
from ekiben.control.analysis.tables import Table
from ekiben.experiments.document import Metric


def compared(metric: Metric) -> tuple[str, ...]:
    """The columns of exposures that the label is compared with. Lists are large, and no metric without
    classes carries them along.
    """
    return ("score",) if metric.classes is None else ("scores", "decision")


def usable(outcomes: Table, metric: Metric) -> Any:
    """Which of the outcomes of users who count are labels that can count once the user's window has closed,
    repetitions among them.
    """
    return (
        (outcomes.name == metric.outcome)
        & _is_label(outcomes, metric)
        & in_window(outcomes, metric)
        & in_time(outcomes, metric)
        & _is_scored(outcomes, metric)
    )


def repeated(outcomes: Table, metric: Metric) -> Table:
    """The predictions with several labels: nearly none."""
    labels = outcomes.filter(usable(outcomes, metric))
    return labels.group_by("prediction_id").having(lambda t: t.count() > 1).aggregate()


def repetitions_marked(outcomes: Table, repeated: Table | None, metric: Metric) -> Table:
    """The outcomes with a column for the metric: whether another label of the prediction came before."""
    mark = _mark(metric)
    if repeated is None:
        return outcomes.mutate(**{mark: ibis.literal(False)})
    labels = usable(outcomes, metric)
    several = outcomes.filter(labels).semi_join(repeated, "prediction_id")
    order = [several[name] for name in ("received_at", "at", "value")]
    place = ibis.row_number().over(group_by="prediction_id", order_by=order)
    others = outcomes.filter(~labels).union(outcomes.filter(labels).anti_join(repeated, "prediction_id"))
    return several.mutate(**{mark: place > 0}).union(others.mutate(**{mark: ibis.literal(False)}))


def scored(marked: Table, metric: Metric, of_user: Sequence[str]) -> Table:
    """(user_hash, score, positive) of every prediction with a label that counts once the user's window has
    closed, and the columns `of_user`.

    With classes also `scores` and `label`, the place of the true one. The score is then the largest of the
    scores, and positive whether the true class has it; of equal ones the first is taken. `listed` and
    `sorted` are 1 where the decision is that class, with the classes as listed and as sorted by name.
    """
    once = marked.filter(usable(marked, metric) & ~marked[_mark(metric)])
    label = once.value.cast("int64")
    if metric.classes is None:
        return once.select("user_hash", *of_user, "score", positive=label)
    largest = once.scores.maxs()
    place = once.scores.index(largest)
    orders = {"listed": metric.classes, "sorted": sorted(metric.classes)}
    return once.select(
        "user_hash",
        *of_user,
        "scores",
        label=label,
        score=largest.cast("float64"),
        positive=(place == label).cast("int64"),
        **{
            order: (ibis.array(list(names)).index(once.decision) == place).fill_null(False).cast("int64")
            for order, names in orders.items()
        },
    )


def reason(marked: Table, metric: Metric, started_at: float) -> Any:
    """What each outcome whose user counts is to the metric, as `metrics.reason`; counted exactly where it is
    `scored`.
    """
    return ibis.cases(
        (marked.name != metric.outcome, ibis.null("int8")),
        (usable(marked, metric) & marked[_mark(metric)], code(Reason.LABEL_REPEATED)),
        (usable(marked, metric), code(Reason.COUNTED)),
        (
            ~_is_label(marked, metric),
            code(Reason.NOT_BINARY if metric.classes is None else Reason.NO_CLASS),
        ),
        *outside(marked, started_at),
        (~in_window(marked, metric), code(Reason.LATE)),
        (~in_time(marked, metric), code(Reason.ARRIVED_LATE)),
        (marked.prediction_id.isnull(), code(Reason.LABEL_OF_USER)),
        *_unscored(marked, metric),
        else_=ibis.null("int8"),
    )


def _mark(metric: Metric) -> str:
    return f"again_{metric.name}"


def _is_label(outcomes: Table, metric: Metric) -> Any:
    return outcomes.value.isin([float(place) for place in range(len(metric.classes or ("no", "yes")))])


def _is_scored(outcomes: Table, metric: Metric) -> Any:
    if metric.classes is None:
        return outcomes.score.notnull()
    return (outcomes.scores.length() == len(metric.classes)).fill_null(False)


def _unscored(marked: Table, metric: Metric) -> list[tuple[Any, Any]]:
    """The cases of a label whose prediction has no score for it."""
    if metric.classes is None:
        return [(marked.score.isnull(), code(Reason.UNSCORED))]
    return [
        (marked.scores.isnull(), code(Reason.UNSCORED)),
        (~_is_scored(marked, metric), code(Reason.OTHER_CLASSES)),
    ]
