"""The report of a `label` metric: how well each variant's scores fit the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import sqrt
from statistics import NormalDist
from typing import Any

from ekiben.control.analysis.comparing import metric_report
from ekiben.control.analysis.labels import BINS, NO_LABELS, LabelSums
from ekiben.experiments.document import Metric
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.report import LabelQuality, MetricReport, Role, VariantMetric
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.label_quality import calibration_bin, fixed_interval, roc_auc


def label_report(
    metric: Metric,
    role: Role,
    model_versions: Mapping[str, tuple[str, ...]],
    sums: Mapping[int, LabelSums],
    alpha: float,
    shown_alpha: float,
) -> MetricReport:
    """`model_versions` has every variant, the control first. Users are those with a label."""
    control, *treatments = model_versions
    found = {variant: sums.get(place, NO_LABELS) for place, variant in enumerate(model_versions)}
    measured = {variant: estimates(each) for variant, each in found.items()}
    compared = {variant: each[metric.measure] for variant, each in measured.items()}
    changes = {variant: effects.effect(compared[control], compared[variant], alpha) for variant in treatments}
    z = NormalDist().inv_cdf(1 - shown_alpha / 2)
    return metric_report(
        metric.name,
        metric.kind,
        role,
        metric.better,
        [_in_variant(variant, found[variant].auc.users, each, z) for variant, each in compared.items()],
        changes,
        window_hours=metric.window_hours,
        labels=tuple(
            _quality(variant, model_versions[variant], found[variant], measured[variant], z)
            for variant in model_versions
        ),
    )


def estimates(sums: LabelSums) -> dict[LabelMeasure, Estimate | None]:
    """Every measure of one variant; None where there is too little for it."""
    return {
        LabelMeasure.ROC_AUC: roc_auc(sums.auc),
        LabelMeasure.BRIER: effects.ratio(sums.losses["brier"]),
        LabelMeasure.LOG_LOSS: effects.ratio(sums.losses["log_loss"]),
        LabelMeasure.ACCURACY: effects.rate(sums.losses["accuracy"]),
    }


def _in_variant(variant: str, users: int, value: Estimate | None, z: float) -> VariantMetric:
    return VariantMetric(
        variant=variant,
        users=users,
        mean=None if value is None else value.value,
        std=None if value is None else value.std_error * sqrt(value.users),
        interval=fixed_interval(value, z),
    )


def _quality(
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
        positives=sums.auc.m,
        **dict(_values(measured, z)),
        calibration=tuple(each for each in bins if each is not None),
    )


def _values(measured: Mapping[LabelMeasure, Estimate | None], z: float) -> Iterator[tuple[str, Any]]:
    """Each measure and its interval, by the names that `LabelQuality` has for them."""
    for measure, found in measured.items():
        yield measure, None if found is None else found.value
        yield f"{measure}_interval", fixed_interval(found, z, *measure.bounds)
