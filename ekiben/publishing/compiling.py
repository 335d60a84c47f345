"""Compiling a fitted scikit-learn model to ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer

from ekiben.serving.models.onnx_model import MATRIX


class CannotConvert(Exception):
    """The model has no ONNX that answers alike. The message is a reason, in one line."""


def compile_model(
    name: str,
    model: Any,
    inputs: Sequence[str],
    kinds: Mapping[str, str],
    opsets: Mapping[str, int] | None = None,
) -> bytes:
    """`model` as ONNX, with the same bytes each time. Raises `CannotConvert`."""
    steps = [step for _, step in model.steps] if hasattr(model, "steps") else [model]
    if any(kinds[each] == "text" for each in inputs):
        # ONNX Runtime lower-cases with the locale en_US.UTF-8, which images do not have.
        raise CannotConvert("its texts are cut into words by scikit-learn itself")
    if isinstance(steps[0], ColumnTransformer):
        text, number = StringTensorType([None, 1]), FloatTensorType([None, 1])
        types = [(each, text if kinds[each] == "category" else number) for each in inputs]
    elif all(kinds[each] == "number" for each in inputs):
        types = [(MATRIX, FloatTensorType([None, len(inputs)]))]
    else:
        raise CannotConvert("for categories it must begin with a ColumnTransformer")
    options = {id(steps[-1]): {"zipmap": False}} if hasattr(steps[-1], "predict_proba") else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of skl2onnx and onnx, about each other
            graph = convert_sklearn(model, name, initial_types=types, options=options, target_opset=opsets)
    except Exception as error:  # skl2onnx has a dozen kinds of "cannot do that"
        raise CannotConvert(reason_of(error)) from error
    if any(node.op_type == "StringNormalizer" for node in graph.graph.node):
        raise CannotConvert("its words are lower-cased in a locale that images do not have")
    return same_bytes(graph)


def same_bytes(graph: Any) -> bytes:
    """The file of an ONNX graph, the same each time: an order of its own differs from run to run."""
    graph.opset_import.sort(key=lambda opset: opset.domain)
    compiled: bytes = graph.SerializeToString(deterministic=True)
    return compiled


def reason_of(error: BaseException, most: int = 120) -> str:
    """The first line of an error, cut at a word."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0].strip().rstrip(".:")
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"
