"""Requests with both versions' answers: on which the versions differ, and what came of those (`only_where`).

Both answers are those that were stored when the request was made. The second one is in a shadow event that
names the experiment, and `other` is there the version that is not the control's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ibis
import msgspec

from ekiben.control.analysis.metrics import Bucket
from ekiben.control.analysis.outcomes import code
from ekiben.control.analysis.reasons import Reason
from ekiben.control.analysis.shadow import apart
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.differing import OnlyWhere
from ekiben.experiments.document import Experiment, Metric
from ekiben.experiments.kinds.of_users import Mean
from ekiben.experiments.statistics.moments import Moments

SETTLES_S: Final = 30.0
"""A request that is older has its second answer, or will never have one."""

_COUNTED: Final = ("users", "requests", "both", "differing", "lacking", "met")


class Pair(msgspec.Struct, frozen=True):
    """What is known of one treatment beside the control. Counts are by the variant's place."""

    counts: Mapping[int, Mapping[str, int]] = {}
    differing: Mapping[Bucket, Moments] = {}
    agreeing: Mapping[Bucket, Moments] = {}


class _OfRequests(Mean):
    """The sum of the outcomes that name a prediction, or of those of them whose `column` is `value`."""

    def __init__(self, column: str | None = None, value: bool = True) -> None:
        self._column = column
        self._value = value

    def of_user(self, outcomes: Any, own: Any) -> Any:
        """What the user's requests brought."""
        own = own & outcomes.prediction_id.notnull()
        if self._column is not None:
            own = own & (outcomes[self._column] == self._value).fill_null(False)
        return super().of_user(outcomes, own)


def rules(metrics: Sequence[Metric]) -> list[OnlyWhere]:
    """The rules by which metrics say where versions differ, each once."""
    return list(dict.fromkeys(metric.only_where for metric in metrics if metric.only_where is not None))


def of_requests(metrics: Sequence[Metric]) -> list[Metric]:
    """The same metrics. Those with `only_where` sum outcomes that name a prediction, of all requests."""
    return [
        metric if metric.only_where is None else metric.model_copy(update={"kind": _OfRequests()})
        for metric in metrics
    ]


def parts(experiment: Experiment, metrics: Sequence[Metric]) -> list[Metric]:
    """Of each metric with `only_where` and each treatment two more: of differing and of agreeing requests."""
    known, found = rules(metrics), []
    for metric in metrics:
        if metric.only_where is None:
            continue
        for treatment in range(1, len(experiment.variants)):
            column = _column(known.index(metric.only_where), treatment)
            for value in (True, False):
                update = {"name": _part(metric, treatment, value), "kind": _OfRequests(column, value)}
                found.append(metric.model_copy(update=update))
    return found


def pairs(
    tables: EventTables,
    answers: Table,
    users: Table,
    experiment: Experiment,
    metrics: Sequence[Metric],
    values: Mapping[str, Mapping[Bucket, Moments]],
) -> dict[str, dict[int, Pair]]:
    """By metric and treatment (its place) what the engine says; `values` has the sums of `parts`."""
    known, found = rules(metrics), dict[str, dict[int, Pair]]()
    for treatment, version in _treatments(experiment):
        counted = tables.rows(counts(users, answers, treatment, version, len(known)))
        for metric in metrics:
            if metric.only_where is None:
                continue
            rule = known.index(metric.only_where)
            found.setdefault(metric.name, {})[treatment] = Pair(
                {row["variant"]: _of_rule(row, rule) for row in counted},
                values.get(_part(metric, treatment, True), {}),
                values.get(_part(metric, treatment, False), {}),
            )
    return found


def second_answers(shadows: Table, key: str, experiment: Experiment, known: Sequence[OnlyWhere]) -> Table:
    """(prediction_id, user_hash, at, other) and for each rule, by its place, whether the two answers differ;
    NULL where one of them does not say.
    """
    control = next(iter(experiment.variants.values())).version
    own = shadows.filter(
        (shadows.experiment == key)
        & (shadows.phase == experiment.phase)
        & ((shadows.version == control) | (shadows.against == control))
    )
    other = ibis.ifelse(own.version == control, own.against, own.version)
    differs = {f"differs_{place}": _differs(own, rule) for place, rule in enumerate(known)}
    return own.select("prediction_id", "user_hash", "at", other=other, **differs)


def marked(outcomes: Table, answers: Table, experiment: Experiment, known: Sequence[OnlyWhere]) -> Table:
    """The outcomes with a column for each rule and treatment: whether the versions differ on the request."""
    for treatment, version in _treatments(experiment):
        columns = {_column(rule, treatment): answers[f"differs_{rule}"] for rule in range(len(known))}
        theirs = answers.filter(answers.other == version).select("prediction_id", **columns)
        outcomes = outcomes.left_join(theirs, "prediction_id").drop("prediction_id_right")
    return outcomes


def counts(users: Table, answers: Table, treatment: int, version: str, known: int) -> Table:
    """For the control and one treatment: how many users, `requests` that were answered, and for each rule of
    those the ones with both answers, the differing ones, and the users who lack an answer or met a
    difference. `users` has `answered`, the requests until a time, and so have `answers`.
    """
    theirs = answers.filter(answers.other == version)
    by_user = theirs.group_by("user_hash").aggregate(
        **{f"both_{rule}": theirs.count(where=theirs[f"differs_{rule}"].notnull()) for rule in range(known)},
        **{f"differing_{rule}": theirs.count(where=theirs[f"differs_{rule}"]) for rule in range(known)},
    )
    alone = users.filter(~users.crossed & users.variant.isin([0, treatment]))
    joined = alone.select("user_hash", "variant", "answered").left_join(by_user, "user_hash")
    columns: dict[str, Any] = {"users": joined.count(), "requests": joined.answered.sum()}
    for rule in range(known):
        both, differing = (joined[f"{name}_{rule}"].fill_null(0) for name in ("both", "differing"))
        columns |= {
            f"both_{rule}": both.sum(),
            f"differing_{rule}": differing.sum(),
            f"lacking_{rule}": joined.count(where=both < joined.answered),
            f"met_{rule}": joined.count(where=differing > 0),
        }
    return joined.group_by("variant").aggregate(**columns)


def reason(outcomes: Table, metric: Metric, found: Any) -> Any:
    """What an outcome is to the metric, where `found` is what it is to one that compares all requests."""
    if metric.only_where is None:
        return found
    sums_it = found.isin([code(Reason.COUNTED), code(Reason.WAITING)]) & (outcomes.name == metric.outcome)
    after = outcomes["at"] >= outcomes.first_at
    return ibis.ifelse(sums_it & after & outcomes.prediction_id.isnull(), code(Reason.OF_USER), found)


def _of_rule(row: Mapping[str, Any], rule: int) -> dict[str, int]:
    return {name: row.get(f"{name}_{rule}", row.get(name)) or 0 for name in _COUNTED}


def _differs(answers: Table, rule: OnlyWhere) -> Any:
    if rule.scores_differ is None:
        return answers.decision != answers.against_decision
    return apart(answers) > rule.scores_differ


def _treatments(experiment: Experiment) -> list[tuple[int, str]]:
    versions = [variant.version for variant in experiment.variants.values()]
    return list(enumerate(versions))[1:]


def _column(rule: int, treatment: int) -> str:
    return f"differs_{rule}_{treatment}"


def _part(metric: Metric, treatment: int, differing: bool) -> str:
    # Longer than any name that a metric may have.
    return f"{metric.name:101}{treatment} {'differing' if differing else 'agreeing'}"
