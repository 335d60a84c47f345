"""The report of a `label` metric: how well each variant's scores fit the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from statistics import NormalDist
from typing import Any

from ekiben.control.analysis.comparing import metric_report
from ekiben.control.analysis.label_sums import BINS, LabelSums, no_labels
from ekiben.experiments.document import Metric
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.reports.labels import ClassQuality, LabelQuality
from ekiben.experiments.reports.metric import MetricReport, Role, State, VariantMetric
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.label_quality import (
    AucSums,
    calibration_bin,
    enough_of_each,
    fixed_interval,
    mean_roc_auc,
    roc_auc,
)
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM


def label_report(
    metric: Metric,
    role: Role,
    model_versions: Mapping[str, tuple[str, ...]],
    sums: Mapping[int, LabelSums],
    alpha: float,
    shown_alpha: float,
    planned_users: float,
) -> MetricReport:
    """`model_versions` has every variant, the control first. Users are those with a label."""
    control, *treatments = model_versions
    none = no_labels(len(metric.classes or ("the one",)))
    found = {variant: sums.get(place, none) for place, variant in enumerate(model_versions)}
    measured = {variant: estimates(metric, each) for variant, each in found.items()}
    compared = {variant: each[metric.measure] for variant, each in measured.items()}
    changes = {
        variant: effects.effect(compared[control], compared[variant], alpha, planned_users)
        for variant in treatments
    }
    z = NormalDist().inv_cdf(1 - shown_alpha / 2)
    return metric_report(
        metric.name,
        metric.kind,
        role,
        metric.better,
        [_in_variant(variant, found[variant], each, z) for variant, each in compared.items()],
        changes,
        unjudged={
            name: doubt for name, each in found.items() if (doubt := doubt_of(metric, each)) is not None
        },
        window_hours=metric.window_hours,
        labels=tuple(
            _quality(metric, variant, model_versions[variant], found[variant], measured[variant], z)
            for variant in model_versions
        ),
    )


def estimates(metric: Metric, sums: LabelSums) -> dict[LabelMeasure, Estimate | None]:
    """Every measure of one variant; None where there is too little for it."""
    several = metric.classes is not None
    return {
        LabelMeasure.ROC_AUC: mean_roc_auc(sums.areas, sums.influence) if several else roc_auc(*sums.areas),
        LabelMeasure.BRIER: effects.ratio(sums.losses["brier"]),
        LabelMeasure.LOG_LOSS: effects.ratio(sums.losses["log_loss"]),
        LabelMeasure.ACCURACY: effects.rate(sums.losses["accuracy"]),
    }


def doubt_of(metric: Metric, sums: LabelSums) -> State | None:
    """Why a variant cannot be compared, None where it can."""
    if metric.measure is LabelMeasure.ROC_AUC and not enough_of_each(sums.areas):
        return State.NO_DATA
    return State.DOMINATED if _labels(sums).effective < JUDGED_FROM else None


def _labels(sums: LabelSums) -> Moments:
    """Moments whose y is how many labelled predictions a user has."""
    return sums.losses["brier"]


def _in_variant(variant: str, sums: LabelSums, value: Estimate | None, z: float) -> VariantMetric:
    return VariantMetric(
        variant=variant,
        users=sums.users,
        mean=None if value is None else value.value,
        std=None if value is None else value.std_error * sqrt(value.users),
        interval=fixed_interval(value, z),
        effective_users=_labels(sums).effective,
    )


def _quality(
    metric: Metric,
    variant: str,
    model_versions: tuple[str, ...],
    sums: LabelSums,
    measured: Mapping[LabelMeasure, Estimate | None],
    z: float,
) -> LabelQuality:
    bins = (
        calibration_bin(place / BINS, (place + 1) / BINS, *each, z) for place, each in enumerate(sums.bins)
    )
    return LabelQuality(
        variant=variant,
        model_versions=model_versions,
        labels=sums.labels,
        positives=None if metric.classes is not None else sums.areas[0].m,
        **dict(_values(measured, z)),
        calibration=tuple(each for each in bins if each is not None),
        classes=tuple(
            _class(*each, z)
            for each in zip(metric.classes or (), sums.areas, strict=metric.classes is not None)
        ),
        misordered=sums.decided[0] < sums.decided[1],
    )


def _class(name: str, sums: AucSums, z: float) -> ClassQuality:
    area = roc_auc(sums)
    interval = fixed_interval(area, z, *LabelMeasure.ROC_AUC.bounds)
    return ClassQuality(name, sums.m, None if area is None else area.value, interval)


def _values(measured: Mapping[LabelMeasure, Estimate | None], z: float) -> Iterator[tuple[str, Any]]:
    """Each measure and its interval, by the names that `LabelQuality` has for them."""
    for measure, found in measured.items():
        yield measure, None if found is None else found.value
        yield f"{measure}_interval", fixed_interval(found, z, *measure.bounds)
