"""How well a version's scores fit the truth."""

from __future__ import annotations

import msgspec

from ekiben.experiments.reports.effect import Interval


class CalibrationBin(msgspec.Struct, frozen=True):
    """Predictions with scores in [low, high): how often the label was positive. Of a label with classes the
    score is the largest probability, and positive is that its class was the true one.
    """

    low: float
    high: float
    count: int
    mean_score: float
    positive_rate: float
    interval: Interval


class ClassQuality(msgspec.Struct, frozen=True):
    """One class against all others."""

    name: str
    labels: int
    roc_auc: float | None
    roc_auc_interval: Interval


class LabelQuality(msgspec.Struct, frozen=True):
    """How well one variant's scores fit the labels, each measure with its interval. Of a label with classes
    `roc_auc` is the mean over these.
    """

    variant: str
    model_versions: tuple[str, ...]
    labels: int
    positives: int | None  # None with classes
    roc_auc: float | None
    roc_auc_interval: Interval
    brier: float | None
    brier_interval: Interval
    log_loss: float | None
    log_loss_interval: Interval
    accuracy: float | None
    accuracy_interval: Interval
    calibration: tuple[CalibrationBin, ...] = ()
    classes: tuple[ClassQuality, ...] = ()
    misordered: bool = False  # decisions fit the scores better with the classes in the order of their names
