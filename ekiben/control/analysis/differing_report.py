"""The report of a metric with `only_where`: its effects, from the requests on which the versions differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from ekiben.control.analysis import comparing
from ekiben.control.analysis.differing import Pair
from ekiben.control.analysis.metrics import Bucket
from ekiben.experiments.document import Experiment, Metric
from ekiben.experiments.reports.differing import Differing, Requests
from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.reports.metric import MetricReport
from ekiben.experiments.statistics.differing import (
    CHECKED_AT,
    answered_by_both,
    answers_missing,
    carries_over,
)
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import UNBOUNDED
from ekiben.experiments.statistics.shares_alike import alike_p_value

_BY_TREATMENT: Final = ("effects", "states", "series", "cohorts", "fading", "saved")
"""The fields of a metric's report that have something for each treatment."""

Sums = Mapping[Bucket, Moments]


def where_differing(
    ordinary: MetricReport,
    metric: Metric,
    experiment: Experiment,
    pairs: Mapping[int, Pair],
    report_of: Callable[[Sums], MetricReport],
) -> MetricReport:
    """`ordinary`, the metric's report over all requests, with what differing requests say of each treatment,
    unless something carries over. `report_of` makes the report of other sums.
    """
    names, found = list(experiment.variants), {}
    fields = {field: dict(getattr(ordinary, field)) for field in _BY_TREATMENT}
    for place, pair in pairs.items():
        name = names[place]
        requests = [Requests(names[each], **pair.counts.get(each, {})) for each in (0, place)]
        differing, agreeing = (_answered(sums, place, requests) for sums in (pair.differing, pair.agreeing))
        report = report_of(differing)
        effect = msgspec.structs.replace(report.effects[name], relative=None, relative_interval=UNBOUNDED)
        found[name] = _compared(ordinary.effects[name], effect, metric, experiment, place, requests, agreeing)
        if not found[name].carry_over:
            for field, held in fields.items():
                held.pop(name, None)
                held |= {each: of for each, of in getattr(report, field).items() if each == name}
            fields["effects"][name] = effect
    rule = metric.only_where
    words = None if rule is None else rule.words
    return msgspec.structs.replace(ordinary, only_where=words, differing=found, **fields)


def _answered(sums: Sums, place: int, requests: Sequence[Requests]) -> dict[Bucket, Moments]:
    """The sums of the control and one treatment, for requests without both answers too."""
    return {
        bucket: answered_by_both(moments, requests[bucket.variant > 0].share)
        for bucket, moments in sums.items()
        if bucket.variant in (0, place)
    }


def _compared(
    ordinary: Effect,
    effect: Effect,
    metric: Metric,
    experiment: Experiment,
    place: int,
    requests: Sequence[Requests],
    agreeing: Sums,
) -> Differing:
    control, treatment = requests
    one, other = (comparing.total(agreeing, each) for each in (0, place))
    beside = comparing.compare(metric.kind, one, other, CHECKED_AT, experiment.planned_users)
    lacking = alike_p_value([(control.lacking, control.users), (treatment.lacking, treatment.users)])
    met = alike_p_value([(control.met, control.users), (treatment.met, treatment.users)])
    shares = control.share, treatment.share
    return Differing(
        control=control,
        treatment=treatment,
        effect=effect,
        agreeing=beside,
        ordinary=ordinary,
        answers_p_value=lacking,
        triggers_p_value=met,
        answers_missing=answers_missing(shares, min(each.requests for each in requests), lacking),
        triggers_differ=met < CHECKED_AT,
        carry_over=carries_over(beside, min(one.n, other.n)),
    )
