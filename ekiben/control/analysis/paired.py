"""A shadow version and the version that answered, on the same labelled predictions.

A shadow event has both scores of a prediction, and a label names the prediction. So both versions are
compared before the first user gets the new one, on exactly the same predictions. It counts what both
versions' present tags answered, from the first such answer on: a redeployed version begins again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import ibis
import msgspec

from ekiben.control.analysis import label_sums
from ekiben.control.analysis.label_report import estimates
from ekiben.control.analysis.label_sums import LabelSums, no_labels
from ekiben.control.analysis.tables import EventTables, Table
from ekiben.experiments.document import Document, Metric
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.reports.paired import PairedMeasure, PairedQuality
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.paired_quality import (
    area_difference,
    loss_difference,
    paired_interval,
    paired_p_value,
    paired_state,
)

_CLOCKS_S: Final = 3600.0
"""So much earlier than its prediction a label may claim to be: clocks differ."""


class Truth(msgspec.Struct, frozen=True):
    """A label that experiments of a model have, drafts included, and at which alpha it is compared."""

    metric: Metric
    alpha: float


def truths(document: Document, model: str) -> list[Truth]:
    """The labels of the model's experiments, each outcome and measure once, at the least alpha."""
    found: dict[tuple[Any, ...], Truth] = {}
    for experiment in document.experiments.values():
        for metric in experiment.metrics if experiment.model == model else ():
            if metric.kind.of_predictions:
                key = (metric.outcome, metric.measure, metric.classes)
                held = found.get(key)
                if held is None or experiment.alpha < held.alpha:
                    found[key] = Truth(metric, experiment.alpha)
    return list(found.values())


def answered_by_both(tables: EventTables, report: ShadowReport) -> Table:
    """The shadow events of the report's pair in which both versions answered under their latest tags.

    It is not kept: it may be every request of weeks, and who asks needs those few that have an outcome.
    """
    shadows = tables.of("shadow")
    pair = shadows.filter(
        (shadows.model == report.model)
        & (shadows.version == report.version)
        & (shadows.against == report.against)
    )
    pair = pair.mutate(
        tag=pair.model_version.fill_null(""), against_tag=pair.against_model_version.fill_null("")
    )
    (latest,) = tables.rows(
        pair.aggregate(tag=pair.tag.argmax(pair["at"]), against_tag=pair.against_tag.argmax(pair["at"]))
    )
    return pair.filter((pair.tag == latest["tag"]) & (pair.against_tag == latest["against_tag"]))


def labels(outcomes: Table, metric: Metric) -> Table:
    """(prediction_id, value, happened_at) of each prediction's first label."""
    places = [float(place) for place in range(len(metric.classes or ("no", "yes")))]
    own = outcomes.filter(
        (outcomes.name == metric.outcome)
        & outcomes.prediction_id.notnull()
        & outcomes.user_hash.isnull()
        & outcomes.value.isin(places)
    )
    return own.group_by("prediction_id").aggregate(
        value=own.value.argmin(own.received_at), happened_at=own["at"].argmin(own.received_at)
    )


def scored(both: Table, truth: Table, metric: Metric) -> Table:
    """(user_hash, variant, score, positive) as `labels.scored`, each labelled prediction twice: variant 0 is
    what was served, 1 the shadow. With classes also `scores`, `label` and `positive`. A prediction without a
    user is a user of its own.
    """
    joined = both.inner_join(truth, "prediction_id")
    closes_at = joined["at"] + metric.window_hours * 3600
    joined = joined.filter(
        (joined.happened_at >= joined["at"] - _CLOCKS_S) & (joined.happened_at < closes_at)
    )
    if metric.classes is None:
        joined = joined.filter(joined.score.notnull() & joined.against_score.notnull())
    else:
        size = len(metric.classes)
        joined = joined.filter(
            (joined.scores.length() == size).fill_null(False)
            & (joined.against_scores.length() == size).fill_null(False)
        )
    user = ibis.coalesce(joined.user_hash, joined.prediction_id)
    sides = []
    for variant, prefix in enumerate(("against_", "")):
        columns: dict[str, Any] = {
            "user_hash": user,
            "variant": ibis.literal(variant, "int8"),
            "score": joined[f"{prefix}score"],
            "positive": joined.value.cast("int64"),
        }
        if metric.classes is not None:
            scores = joined[f"{prefix}scores"]
            largest = scores.maxs()
            columns |= {
                "scores": scores,
                "label": columns["positive"],
                "score": largest.cast("float64"),
                "positive": (scores.index(largest) == columns["positive"]).cast("int64"),
            }
        sides.append(joined.select(**columns))
    return sides[0].union(sides[1])


def paired_quality(tables: EventTables, both: Table, truth: Truth) -> PairedQuality | None:
    """How well both versions fit the labels; None where nothing has one."""
    metric = truth.metric
    kept = tables.keep(scored(both, labels(tables.of("outcome"), metric), metric))
    own, apart = _sums(tables, kept, metric)
    tables.drop(kept)
    if 0 not in apart or not apart[0].users:
        return None
    compared = {each: _difference(each, apart[0], metric) for each in LabelMeasure}
    return PairedQuality(
        outcome=metric.outcome,
        measure=metric.measure,
        better=str(metric.better),
        users=apart[0].users,
        labels=apart[0].labels,
        positives=None if metric.classes is not None else apart[0].areas[0].m,
        alpha=truth.alpha,
        state=paired_state(compared[metric.measure], metric.better, truth.alpha),
        measures=tuple(_measures(metric, own, compared, truth.alpha)),
    )


def _sums(
    tables: EventTables, kept: Table, metric: Metric
) -> tuple[dict[int, LabelSums], dict[int, LabelSums]]:
    """The sums of each version, and of their differences."""
    classes = metric.classes
    users = tables.keep(
        label_sums.binary_users(kept) if classes is None else label_sums.class_users(kept, len(classes))
    )
    found = []
    for each in (users, label_sums.differences(users, *(() if classes is None else ("place",)))):
        if classes is None:
            sums = areas = tables.rows(label_sums.user_sums(each))
        else:
            sums, areas = (tables.rows(of(each)) for of in (label_sums.class_sums, label_sums.class_areas))
        found.append(label_sums.collected(sums, areas, []))
    tables.drop(users)
    return found[0], found[1]


def _difference(measure: LabelMeasure, sums: LabelSums, metric: Metric) -> Estimate | None:
    if measure is LabelMeasure.ROC_AUC:
        return area_difference(sums.areas, None if metric.classes is None else sums.influence)
    return loss_difference(sums.losses[measure])


def _measures(
    metric: Metric,
    own: dict[int, LabelSums],
    compared: dict[LabelMeasure, Estimate | None],
    alpha: float,
) -> Iterator[PairedMeasure]:
    nothing = no_labels(len(metric.classes or ("the one",)))
    against, shadow = (estimates(metric, own.get(place, nothing)) for place in (0, 1))
    for measure, found in compared.items():
        served, other = against[measure], shadow[measure]
        yield PairedMeasure(
            measure=measure,
            against=None if served is None else served.value,
            shadow=None if other is None else other.value,
            difference=None if found is None else found.value,
            interval=paired_interval(found, alpha),
            p_value=paired_p_value(found),
        )
