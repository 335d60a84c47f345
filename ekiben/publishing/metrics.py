"""How good a version is on held-out data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

Floats = NDArray[np.float64]


def classification(
    actual: NDArray[np.int64], probability: Floats, threshold: float = 0.5
) -> dict[str, float]:
    """AUC and Brier score of the probabilities of class 1, and what `probability >= threshold` gets right.

    `accuracy_at_half` is the accuracy at 0.5, whatever `threshold` is: what reports compute from labels.
    """
    predicted = (probability >= threshold).astype(np.int64)
    return {
        "auc": float(metrics.roc_auc_score(actual, probability)),
        "brier": float(metrics.brier_score_loss(actual, probability)),
        "accuracy": float(metrics.accuracy_score(actual, predicted)),
        "accuracy_at_half": float(metrics.accuracy_score(actual, probability >= 0.5)),
        "precision": float(metrics.precision_score(actual, predicted, zero_division=0.0)),
        "recall": float(metrics.recall_score(actual, predicted)),
        "f1": float(metrics.f1_score(actual, predicted)),
    }


def regression(actual: NDArray[Any], predicted: Floats) -> dict[str, float]:
    """The share of variance explained, and the errors in the target's unit."""
    return {
        "r2": float(metrics.r2_score(actual, predicted)),
        "mae": float(metrics.mean_absolute_error(actual, predicted)),
        "rmse": float(metrics.root_mean_squared_error(actual, predicted)),
    }
