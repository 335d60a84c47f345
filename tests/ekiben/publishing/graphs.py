"""ONNX files, written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

FLOAT, DOUBLE, INT64, TEXT = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING


def written(
    folder: Path,
    nodes: list[Any],
    inputs: list[tuple[str, int, list[Any]]],
    outputs: dict[str, int],
    **constants: Any,
) -> Path:
    """A file of these nodes."""
    graph = helper.make_graph(
        nodes,
        "tests",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [onnx.numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    path = folder / "given.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def total(path: Path, name: str = "x", kind: int = FLOAT, shape: tuple[Any, ...] = ("n", 3)) -> Path:
    """The sum of a row, (rows, 1)."""
    nodes = [helper.make_node("ReduceSum", [name, "one"], ["y"], keepdims=1)]
    return written(path, nodes, [(name, kind, [*shape])], {"y": kind}, one=np.array([1], dtype=np.int64))


def sigmoid(path: Path, nodes: tuple[str, ...] = ("Sigmoid",)) -> Path:
    """A probability from what the first feature is above 50, (rows, 1)."""
    begin = helper.make_node("Gemm", ["x", "w", "b"], ["0"])
    more = [helper.make_node(kind, [str(n)], [str(n + 1)]) for n, kind in enumerate(nodes)]
    weights = np.array([[1.0], [0.0], [0.0]], dtype=np.float32)
    below = np.array([-50.0], dtype=np.float32)
    inputs = [("x", FLOAT, ["n", 3])]
    return written(path, [begin, *more], inputs, {str(len(nodes)): FLOAT}, w=weights, b=below)


def two_outputs(folder: Path) -> Path:
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]
    return written(folder, nodes, [("x", FLOAT, ["n", 3])], {"a": FLOAT, "b": FLOAT})
