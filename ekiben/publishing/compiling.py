"""Compiling a fitted scikit-learn model to ONNX, into something that gives the same answers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer

from ekiben.publishing.errors import PublishingError
from ekiben.serving.features import Features, Kind, kinds
from ekiben.serving.onnx_model import MATRIX, OnnxModel

TOLERANCE: Final = 1e-6


def compile_alike(
    label: str,
    model: Any,
    features: type[Features],
    rows: pd.DataFrame,
    expected: NDArray[np.float64],
    column: int,
) -> tuple[bytes, NDArray[np.float64]]:
    """`model` as ONNX, and the scores that this gives `rows`.

    `column` of its output holds the scores: 1 for the probability of the positive class, 0 for a regression.
    Raises `PublishingError`, with `label` in front, when it cannot be compiled or when a score differs from
    the one in `expected` by more than 1e-6; for a regression, by more than 1e-6 of the largest value.
    """
    inputs = list(model.feature_names_in_)
    known = kinds(features)
    missing = [name for name in inputs if name not in known]
    if missing:
        raise PublishingError(f"{label}: {features.__name__} lacks {', '.join(missing)}")
    allowed = TOLERANCE * (1.0 if column else max(1.0, float(np.max(np.abs(expected)))))
    records = [dict(row) for row in rows.to_dict("records")]
    try:
        content = _compile(label, model, inputs, known)
        scores = OnnxModel(content, inputs, column).scores(records)
    except PublishingError:
        raise
    except Exception as error:  # skl2onnx and ONNX Runtime have a dozen kinds of "cannot do that"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise PublishingError(
            f"{label}: cannot be compiled to ONNX: {reason} (what scikit-learn itself brings for numbers and "
            "categories can; docs/own-model.md says what to do with anything else)"
        ) from error
    difference = float(np.max(np.abs(scores - expected)))
    if not difference <= allowed:
        # It computes in 32 bits: a scaled value may fall on the other side of a tree's threshold.
        raise PublishingError(
            f"{label}: compiled to ONNX it differs by {difference:.2g} on the held-out rows, more than "
            f"{allowed:.2g}: not published (trees behind a scaler do that, and need none)"
        )
    return content, scores


def _compile(label: str, model: Any, inputs: Sequence[str], known: Mapping[str, Kind]) -> bytes:
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    if isinstance(steps[0], ColumnTransformer):
        text, number = StringTensorType([None, 1]), FloatTensorType([None, 1])
        types = [(name, text if known[name] == "category" else number) for name in inputs]
    elif any(known[name] == "category" for name in inputs):
        raise PublishingError(f"{label}: for categories it must begin with a ColumnTransformer")
    else:
        types = [(MATRIX, FloatTensorType([None, len(inputs)]))]
    options = {id(steps[-1]): {"zipmap": False}} if hasattr(steps[-1], "predict_proba") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of skl2onnx and onnx, about each other
        graph = convert_sklearn(model, label, initial_types=types, options=options)
    # Without a name of ours (above) and an order of its own the same model had other bytes each time.
    graph.opset_import.sort(key=lambda opset: opset.domain)
    compiled: bytes = graph.SerializeToString(deterministic=True)
    return compiled
