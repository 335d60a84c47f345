"""Reports by segment and by day of first exposure, as an analysis would make them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ekiben.experiments.judging.states import metric_state
from ekiben.experiments.reports.effect import CohortEffect, Fading
from ekiben.experiments.reports.metric import MetricReport, Role
from ekiben.experiments.reports.segments import Breakdown, Segment, SegmentEffect, SegmentKind
from ekiben.experiments.statistics.effects import effect
from ekiben.experiments.statistics.srm import srm_test
from tests.control.dashboard.samples import Sample

DAY = 86_400.0


def by_day(metric: MetricReport, gains: Sequence[float], std: float, now: float) -> MetricReport:
    """The metric with these effects of the last days in every treatment, and what of it fades."""
    begins = now // DAY * DAY - len(gains) * DAY
    days = tuple(
        _cohort(gain, std, 400, begins + day * DAY, begins + (day + 1) * DAY)
        for day, gain in enumerate(gains)
    )
    fades = Fading(
        2,
        _cohort(gains[0], std, 800, begins, begins + 2 * DAY),
        _cohort(gains[-1], std, 400 * (len(gains) - 2), begins + 2 * DAY, now),
    )
    fading = dict.fromkeys(metric.effects, fades) if gains[0] > gains[-1] else {}
    return msgspec.structs.replace(metric, cohorts=dict.fromkeys(metric.effects, days), fading=fading)


def _cohort(gain: float, std: float, users: int, since: float, until: float) -> CohortEffect:
    found = effect(Sample(users, 1.0, std).estimate(), Sample(users, 1.0 + gain, std).estimate(), 0.05)
    return CohortEffect(since, until, 2 * users, found.absolute, found.interval)


def by(
    attribute: str, metrics: Sequence[MetricReport], gains: Mapping[str, tuple[int, float]], std: float
) -> Breakdown:
    """A breakdown with so many users of each variant and this effect in each segment. The split of the last
    one is wrong.
    """
    last = list(gains)[-1]
    return Breakdown(
        attribute,
        tuple(_segment(name, metrics, *each, std, wrong=name == last) for name, each in gains.items()),
    )


def _segment(
    name: str, metrics: Sequence[MetricReport], users: int, gain: float, std: float, *, wrong: bool
) -> Segment:
    kinds = {"other": SegmentKind.OTHER, "not sent": SegmentKind.NOT_SENT}
    control, *treatments = (each.variant for each in metrics[0].variants)
    counts = {control: users, **dict.fromkeys(treatments, users // 2 if wrong else users)}
    effects = []
    for metric in metrics:
        for variant in treatments:
            before, after = Sample(users, 1.0, std), Sample(counts[variant], 1.0 + gain, std)
            found = effect(before.estimate(), after.estimate(), 0.05)
            state = metric_state(Role.WATCHED, metric.better, found, None, None, counts[variant])
            effects.append(SegmentEffect(metric.name, variant, users + counts[variant], found, state))
    srm = srm_test(list(counts.values()), [1.0] * len(counts))
    return Segment(name, kinds.get(name, SegmentKind.VALUE), counts, srm, tuple(effects))
