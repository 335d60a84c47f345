"""The report of a `label` metric: how well each variant's scores fit the labels."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from ekiben.control.analysis.labels import BINS, LabelSums
from ekiben.experiments.document import Measure, Metric
from ekiben.experiments.report import LabelQuality, MetricReport, Role, VariantMetric
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.label_quality import calibration_bin, fixed_interval, roc_auc
from ekiben.experiments.statistics.normal import quantile
from ekiben.experiments.verdict import metric_state


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
    found = {variant: sums.get(place) for place, variant in enumerate(model_versions)}
    measured = {variant: estimates(each) for variant, each in found.items()}
    compared = {variant: each[metric.measure] for variant, each in measured.items()}
    users = {variant: each.auc.users if each is not None else 0 for variant, each in found.items()}
    changes = {variant: effects.effect(compared[control], compared[variant], alpha) for variant in treatments}
    z = quantile(1 - shown_alpha / 2)
    control_value = compared[control]
    return MetricReport(
        name=metric.name,
        kind=str(metric.kind),
        better=str(metric.better),
        role=role,
        window_hours=metric.window_hours,
        max_worse=None,
        variants=tuple(_in_variant(variant, users[variant], each, z) for variant, each in compared.items()),
        effects=changes,
        states={
            variant: metric_state(
                role,
                str(metric.better),
                changes[variant],
                None,
                control_value.value if control_value is not None else None,
                min(users[control], users[variant]),
            )
            for variant in treatments
        },
        labels=tuple(
            _quality(variant, model_versions[variant], found[variant], measured[variant], z)
            for variant in model_versions
        ),
    )


def estimates(sums: LabelSums | None) -> dict[Measure, Estimate | None]:
    """Every measure of one variant; None where there is too little for it."""
    if sums is None:
        return dict.fromkeys(Measure)
    return {
        Measure.ROC_AUC: roc_auc(sums.auc),
        Measure.BRIER: effects.ratio(sums.losses["brier"]),
        Measure.LOG_LOSS: effects.ratio(sums.losses["log_loss"]),
        Measure.ACCURACY: effects.rate(sums.losses["accuracy"]),
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
    sums: LabelSums | None,
    measured: Mapping[Measure, Estimate | None],
    z: float,
) -> LabelQuality:
    def value(measure: Measure) -> float | None:
        found = measured[measure]
        return None if found is None else found.value

    bins = (
        calibration_bin(place / BINS, (place + 1) / BINS, *each, z)
        for place, each in enumerate(sums.bins if sums is not None else ())
    )
    return LabelQuality(
        variant=variant,
        model_versions=model_versions,
        labels=sums.labels if sums is not None else 0,
        positives=sums.auc.m if sums is not None else 0,
        roc_auc=value(Measure.ROC_AUC),
        roc_auc_interval=fixed_interval(measured[Measure.ROC_AUC], z, 0.0, 1.0),
        brier=value(Measure.BRIER),
        brier_interval=fixed_interval(measured[Measure.BRIER], z, 0.0),
        log_loss=value(Measure.LOG_LOSS),
        log_loss_interval=fixed_interval(measured[Measure.LOG_LOSS], z, 0.0),
        accuracy=value(Measure.ACCURACY),
        accuracy_interval=fixed_interval(measured[Measure.ACCURACY], z, 0.0, 1.0),
        calibration=tuple(each for each in bins if each is not None),
    )
