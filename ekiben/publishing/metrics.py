"""How good a version is on held-out data."""

from __future__ import annotations

from collections.abc import Sequence
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
        "brier": float(metrics.brier_score_loss(actual, np.clip(probability, 0, 1))),
        "accuracy": float(metrics.accuracy_score(actual, predicted)),
        "accuracy_at_half": float(metrics.accuracy_score(actual, probability >= 0.5)),
        "precision": float(metrics.precision_score(actual, predicted, zero_division=0.0)),
        "recall": float(metrics.recall_score(actual, predicted)),
        "f1": float(metrics.f1_score(actual, predicted)),
    }


def multiclass(actual: NDArray[np.int64], probability: Floats, classes: Sequence[str]) -> dict[str, float]:
    """Metrics of probabilities of shape (rows, classes). `actual` are the columns of the true classes.

    `accuracy` counts the likeliest class. `log_loss` is in nats, with probabilities of at least 1e-15.
    `brier` is Brier's own, the sum over the classes, from 0 to 2. `auc` is the mean of each class's AUC
    against the rest, `auc_CLASS`, over the classes that the rows have.
    """
    truth = np.eye(len(classes))[actual]
    of_true = np.clip(probability[np.arange(len(actual)), actual], 1e-15, 1.0)
    each = {
        name: float(metrics.roc_auc_score(truth[:, place], probability[:, place]))
        for place, name in enumerate(classes)
        if 0 < truth[:, place].sum() < len(actual)
    }
    return {
        "accuracy": float(np.mean(probability.argmax(axis=1) == actual)),
        "log_loss": float(-np.log(of_true).mean()),
        "brier": float(np.square(probability - truth).sum(axis=1).mean()),
        "auc": float(np.mean([*each.values()])),
        **{f"auc_{name}": value for name, value in each.items()},
    }


def regression(actual: NDArray[Any], predicted: Floats, names: Sequence[str] = ()) -> dict[str, float]:
    """The share of variance explained, and the errors in the target's unit.

    For several values of shape (rows, names) these are the means over the names, and each name's own as
    `mae_NAME`.
    """
    found = {
        "r2": metrics.r2_score(actual, predicted, multioutput="raw_values"),
        "mae": metrics.mean_absolute_error(actual, predicted, multioutput="raw_values"),
        "rmse": metrics.root_mean_squared_error(actual, predicted, multioutput="raw_values"),
    }
    means = {metric: float(np.mean(values)) for metric, values in found.items()}
    if not names:
        return means
    return {
        **means,
        **{
            f"{metric}_{name}": float(value)
            for metric, values in found.items()
            for name, value in zip(names, values, strict=True)
        },
    }
