"""What is looked at before a model is published, so that whatever is wrong is one line and no traceback."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ekiben.publishing.errors import PublishingError

Task = Literal["classification", "regression"]
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_.-]{0,60}[a-z0-9])?")

# Of a name in BentoML's store.
_MOST: Final = 63


def check_names(name: str, version: str) -> str:
    """The label of a version in messages. Raises `PublishingError` for names that no store takes."""
    for what, given in (("name", name), ("version", version)):
        if not _NAME.fullmatch(given):
            raise PublishingError(
                f"the {what} {given!r} must be made of a-z, 0-9, _, . and -: choose another"
            )
    if len(f"{name}_{version}") > _MOST:
        raise PublishingError(f"{name}_{version} is longer than {_MOST} characters: choose a shorter name")
    return f"{name} {version}"


def check_model(label: str, model: Any, rows: pd.DataFrame, task: Task) -> list[str]:
    """The columns that `model` takes, in order. Raises `PublishingError` if it cannot be served as `task`."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        raise PublishingError(
            f"{label}: the model is not fitted, or not on named columns: fit it on a DataFrame whose columns "
            "are the features"
        )
    inputs = [str(name) for name in names]
    if absent := [name for name in inputs if name not in rows.columns]:
        raise PublishingError(f"{label}: the held-out rows lack {_some(absent)}: give them every column")
    classes = getattr(model, "classes_", None)
    if task == "regression":
        if classes is not None:
            raise PublishingError(f'{label}: it is a classifier: publish it with task="classification"')
        return inputs
    if task != "classification":
        raise PublishingError(f'{label}: task must be "classification" or "regression", not {task!r}')
    if not hasattr(model, "predict_proba"):
        raise PublishingError(
            f"{label}: it gives no probabilities (predict_proba): use a classifier that does, or wrap it in "
            "CalibratedClassifierCV"
        )
    if classes is not None and list(classes) != [0, 1]:
        raise PublishingError(
            f"{label}: its classes are {_some(classes)}, and a classification has the two classes 0 and 1: "
            "train it on a target of 0 and 1, one class against the rest where there are more"
        )
    return inputs


def check_targets(label: str, targets: Any, rows: int, task: Task) -> NDArray[Any]:
    """The held-out targets as an array of shape (rows,). Raises `PublishingError`."""
    actual = np.asarray(targets)
    if actual.shape != (rows,):
        raise PublishingError(
            f"{label}: there are {rows} held-out rows and targets of shape {actual.shape}: give one each"
        )
    if rows == 0:
        raise PublishingError(f"{label}: there are no held-out rows: keep some that it is not trained on")
    if actual.dtype.kind not in "biuf" or not np.isfinite(actual).all():
        raise PublishingError(f"{label}: the held-out targets must be numbers, and none may be missing")
    if task == "classification" and set(np.unique(actual)) != {0, 1}:
        found = _some(np.unique(actual))
        raise PublishingError(f"{label}: the held-out targets must be 0 and 1, some of each, not {found}")
    return actual


def scores_of(label: str, model: Any, rows: pd.DataFrame, task: Task) -> NDArray[np.float64]:
    """What `model` gives these rows, shape (rows,): values, or probabilities. Raises `PublishingError`."""
    try:
        given = model.predict_proba(rows)[:, 1] if task == "classification" else model.predict(rows)
        scores = np.asarray(given, dtype=np.float64)
    except Exception as error:  # whatever a user's model raises on rows that it was not trained on
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise PublishingError(
            f"{label}: it cannot score the held-out rows: {reason} (missing values and unknown categories "
            "must be handled inside the pipeline)"
        ) from error
    if scores.shape != (len(rows),):
        raise PublishingError(
            f"{label}: it gives {scores.shape} values for {len(rows)} rows: one each is served"
        )
    if not np.isfinite(scores).all():
        raise PublishingError(f"{label}: it gives NaN or infinity for some of the held-out rows")
    return scores


def _some(values: Sequence[Any] | NDArray[Any], most: int = 5) -> str:
    shown = [str(value) for value in values[:most]]
    return ", ".join(shown) + (f" and {len(values) - most} more" if len(values) > most else "")
