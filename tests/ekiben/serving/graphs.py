"""ONNX graphs, written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import TensorProto, helper

FLOAT, DOUBLE, TEXT = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.STRING


def graph(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[tuple[str, int]], **constants: Any
) -> bytes:
    """A model of these nodes; `constants` are (type, values)."""
    made = helper.make_graph(
        nodes,
        "tests",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [helper.make_tensor(name, kind, [len(values)], values) for name, (kind, values) in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    content: bytes = helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


def total(name: str, result: str, axes: str) -> Any:
    """The sum of an input over these axes, with the rows left: (rows, 1)."""
    return helper.make_node("ReduceSum", [name, axes], [result], keepdims=0)


def everything() -> bytes:
    """`Everything` in, three columns out: (visits + stars, the sum of the photo, 1 for the text "good")."""
    nodes = [
        helper.make_node("ReduceSum", ["visits", "one"], ["visited"], keepdims=1),
        helper.make_node("Add", ["visited", "stars"], ["first"]),
        helper.make_node("Flatten", ["photo"], ["flat"], axis=1),
        helper.make_node("ReduceSum", ["flat", "one"], ["second"], keepdims=1),
        helper.make_node(
            "LabelEncoder",
            ["words"],
            ["third"],
            domain="ai.onnx.ml",
            keys_strings=["good"],
            values_floats=[1.0],
            default_float=0.0,
        ),
        helper.make_node("Concat", ["first", "second", "third"], ["scores"], axis=1),
    ]
    inputs = [
        ("visits", FLOAT, ["n", "k"]),
        ("stars", FLOAT, ["n", 1]),
        ("photo", FLOAT, ["n", 2, 3]),
        ("words", TEXT, ["n", 1]),
    ]
    return graph(nodes, inputs, [("scores", FLOAT)], one=(TensorProto.INT64, [1]))
