"""Reports as an analysis would make them, from means, spreads and numbers of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sin, sqrt

import msgspec

from ekiben.experiments.judging.states import metric_state
from ekiben.experiments.reports.effect import Interval, Point
from ekiben.experiments.reports.labels import CalibrationBin, ClassQuality, LabelQuality
from ekiben.experiments.reports.metric import MetricReport, Role, VariantMetric
from ekiben.experiments.reports.shadow import ScoreBin, ShadowReport
from ekiben.experiments.statistics.effects import Estimate, effect
from ekiben.experiments.statistics.label_quality import calibration_bin, wilson_interval
from ekiben.experiments.statistics.sequential import confidence_sequence

LOOKS = 90


@dataclass(frozen=True)
class Sample:
    """A metric among the users of one variant."""

    users: int
    mean: float
    std: float

    def estimate(self, part: float = 1.0) -> Estimate:
        users = max(2, round(self.users * part))
        return Estimate(self.mean, self.std / sqrt(users), users)


def metric(
    name: str,
    samples: Mapping[str, Sample],
    *,
    now: float,
    days: float,
    kind: str = "mean",
    better: str = "higher",
    role: Role = Role.DECIDES,
    max_worse: float | None = None,
    max_worse_by: float | None = None,
    window_hours: float = 24.0,
    labels: Sequence[LabelQuality] = (),
) -> MetricReport:
    """The metric with its effects, states and a look at every ninetieth of the users."""
    control, *treatments = samples
    effects = {
        name: effect(samples[control].estimate(), samples[name].estimate(), 0.05) for name in treatments
    }
    fewest = min(sample.users for sample in samples.values())
    states = {
        name: metric_state(
            role, better, effects[name], max_worse, samples[control].mean, fewest, max_worse_by=max_worse_by
        )
        for name in treatments
    }
    return MetricReport(
        name=name,
        kind=kind,
        better=better,
        role=role,
        window_hours=window_hours,
        max_worse=max_worse,
        max_worse_by=max_worse_by,
        variants=tuple(_variant(name, sample) for name, sample in samples.items()),
        effects=effects,
        states=states,
        series={name: _series(samples[control], samples[name], now, days) for name in treatments},
        labels=tuple(labels),
    )


def _variant(name: str, sample: Sample) -> VariantMetric:
    reach = 1.96 * sample.std / sqrt(sample.users)
    return VariantMetric(
        variant=name,
        users=sample.users,
        mean=sample.mean,
        std=sample.std,
        interval=Interval(sample.mean - reach, sample.mean + reach),
    )


def _series(control: Sample, treatment: Sample, now: float, days: float) -> tuple[Point, ...]:
    """Looks that settle on the last one, wandering as far as chance would."""
    points = []
    for look in range(1, LOOKS + 1):
        part = look / LOOKS
        first, second = control.estimate(part), treatment.estimate(part)
        error = sqrt(first.std_error**2 + second.std_error**2)
        away = error * (1 - part) * (1.3 * sin(look / 6.0) + 0.6 * sin(look * 1.7))
        absolute = treatment.mean - control.mean + away
        users = first.users + second.users
        interval = confidence_sequence(absolute, error, users, 0.05)
        at = now - days * 86_400 * (1 - part)
        points.append(Point(at=at, users=users, absolute=absolute, interval=interval))
    return tuple(points)


def quality(variant: str, tag: str, labels: int, auc: float, tilt: float) -> LabelQuality:
    """Scores that fit the labels as well as `auc` says; `tilt` bends their calibration."""
    bins: list[CalibrationBin] = []
    for place in range(10):
        low, middle = place / 10, place / 10 + 0.05
        count = round(labels * (0.19 - 0.018 * place))
        rate = min(0.98, max(0.01, middle + tilt * (0.5 - middle) * (1 if place % 3 else 0.6)))
        made = calibration_bin(low, low + 0.1, count, middle * count, round(rate * count), 1.96)
        assert made is not None
        bins.append(made)
    positives = sum(round(each.positive_rate * each.count) for each in bins)
    return LabelQuality(
        variant=variant,
        model_versions=(tag,),
        labels=labels,
        positives=positives,
        roc_auc=auc,
        roc_auc_interval=_around(auc, 0.9 / sqrt(labels)),
        brier=0.26 - auc / 8,
        brier_interval=_around(0.26 - auc / 8, 0.4 / sqrt(labels)),
        log_loss=0.92 - auc / 2,
        log_loss_interval=_around(0.92 - auc / 2, 1.1 / sqrt(labels)),
        accuracy=auc - 0.04,
        accuracy_interval=wilson_interval(labels * (auc - 0.04), labels, 1.96),
        calibration=tuple(bins),
    )


def class_quality(variant: str, tag: str, labels: int, areas: Mapping[str, float]) -> LabelQuality:
    """Scores of several classes, each of which they tell from the others as well as `areas` says."""
    mean = sum(areas.values()) / len(areas)
    made = quality(variant, tag, labels, mean, 0.1)
    classes = tuple(
        ClassQuality(name, labels // (place + 2), area, _around(area, 1.1 / sqrt(labels)))
        for place, (name, area) in enumerate(areas.items())
    )
    return msgspec.structs.replace(
        made,
        positives=None,
        brier=0.41,
        brier_interval=_around(0.41, 0.02),
        calibration=made.calibration[3:],
        classes=classes,
    )


def shadow_of_several(model: str, version: str, against: str, compared: int) -> ShadowReport:
    """A shadow whose answers have several scores."""
    heights = [310, 690, 1240, 1010, 520, 233, 96, 41, 15, 6, 3]
    bins = [
        ScoreBin(low=max(2 * place - 1, 0) / 21, high=(2 * place + 1) / 21, count=height)
        for place, height in enumerate(heights)
    ]
    return msgspec.structs.replace(
        shadow(model, version, against, compared),
        mean_difference=None,
        mean_absolute_difference=0.2316,
        ks_distance=None,
        difference=tuple(bins),
    )


def shadow(model: str, version: str, against: str, compared: int) -> ShadowReport:
    """A shadow whose scores lie a little above those that were served."""
    heights = [2, 4, 9, 20, 52, 130, 310, 690, 1240, 1010, 520, 233, 96, 41, 15, 6, 3, 1]
    total = sum(heights)
    bins = [
        ScoreBin(low=(place - 9) / 20, high=(place - 8) / 20, count=round(compared * height / total))
        for place, height in enumerate(heights)
    ]
    return ShadowReport(
        model=model,
        version=version,
        against=against,
        compared=compared,
        agreement=0.8734,
        agreement_interval=wilson_interval(compared * 0.8734, compared, 1.96),
        mean_difference=0.0137,
        mean_absolute_difference=0.0714,
        difference=tuple(bins),
        ks_distance=0.0823,
        latency_ms={"p50": 4.91, "p95": 9.42, "p99": 17.8},
        against_latency_ms={"p50": 2.13, "p95": 4.07, "p99": 8.66},
    )


def _around(value: float, reach: float) -> Interval:
    return Interval(value - reach, value + reach)
