"""The part of a report that breaks users down: from the sums of each segment to its effects and its split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ekiben.control.analysis.label_report import doubt_of, estimates
from ekiben.control.analysis.label_sums import LabelSums
from ekiben.control.analysis.segments import SegmentSums
from ekiben.experiments.document import Experiment, Metric
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.segments import Breakdown, Segment, SegmentEffect
from ekiben.experiments.reports.srm import Srm
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from ekiben.experiments.statistics.srm import SRM_ALPHA, srm_test


def breakdowns(
    experiment: Experiment,
    sums: Mapping[str, Sequence[SegmentSums]],
    splits: Sequence[Sequence[float]],
    alpha: float,
) -> tuple[Breakdown, ...]:
    """The breakdown by each attribute. `splits` are those that were asked for one after the other, `alpha` is
    what each interval may use up.

    A split is a mismatch below SRM_ALPHA divided by the number of segments (Bonferroni). Nothing is called
    better or worse here: that takes all comparisons together.
    """
    level = SRM_ALPHA / max(sum(map(len, sums.values())), 1)
    return tuple(
        Breakdown(attribute, tuple(_segment(experiment, each, splits, level, alpha) for each in segments))
        for attribute, segments in sums.items()
    )


def _segment(
    experiment: Experiment, sums: SegmentSums, splits: Sequence[Sequence[float]], level: float, alpha: float
) -> Segment:
    users = {name: sums.users.get(place, 0) for place, name in enumerate(experiment.variants)}
    left = [0 if experiment.variants[name].retired else count for name, count in users.items()]
    p_value = srm_test(left, *splits).p_value if splits else None
    return Segment(
        name=sums.name,
        kind=sums.kind,
        users=users,
        srm=None if p_value is None else Srm(p_value, level, mismatch=p_value < level),
        effects=tuple(_effects(experiment, sums, alpha)),
    )


def _effects(experiment: Experiment, segment: SegmentSums, alpha: float) -> Iterator[SegmentEffect]:
    for metric in experiment.metrics:
        for place, variant in list(enumerate(experiment.variants))[1:]:
            if metric.kind.of_predictions:
                labels = segment.labels.get(metric.name, {})
                control, treated = (_fit(metric, labels.get(each)) for each in (0, place))
                doubts = [doubt_of(metric, sums) for each in (0, place) if (sums := labels.get(each))]
                users = [0 if (held := labels.get(each)) is None else held.users for each in (0, place)]
            else:
                values = segment.values.get(metric.name, {})
                moments = [values.get(each, Moments()) for each in (0, place)]
                control, treated = metric.kind.pair(*moments)
                doubts = [State.DOMINATED for each in moments if metric.kind.is_dominated(each)]
                users = [each.n for each in moments]
            effect = effects.effect(control, treated, alpha, experiment.planned_users)
            doubt = next(filter(None, doubts), None)
            yield SegmentEffect(
                metric=metric.name,
                variant=variant,
                users=sum(users),
                effect=effect if doubt is None else effects.without_intervals(effect),
                state=(doubt or State.UNCLEAR) if min(users) >= JUDGED_FROM else State.NO_DATA,
            )


def _fit(metric: Metric, sums: LabelSums | None) -> Estimate | None:
    return None if sums is None else estimates(metric, sums)[metric.measure]
