"""Models in ONNX: each kind of feature reaches its input, and scores keep their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from ekiben.serving.features import Features, number, numbers, tensor, text
from ekiben.serving.kernel import Kernel
from ekiben.serving.models.loading import load_published
from ekiben.serving.models.onnx_model import OnnxModel
from ekiben.serving.output import values_output
from ekiben.serving.stored import ModelRefused
from tests.ekiben.serving.graphs import DOUBLE, FLOAT, TEXT, everything, graph
from tests.ekiben.serving.published import publish


class Everything(Features):
    visits: list[float] = numbers(0, 100, "visits", "")
    stars: float | None = number(1, 5, "stars", "", missing=True)
    photo: list[list[float]] = tensor((2, 3), 0, 1, "share", "")
    words: str | None = text("", missing=True)


INPUTS = list(Everything.model_fields)


def row(*visits: float, words: str | None = "good", shade: float = 0.5) -> dict[str, Any]:
    return {"visits": [*visits], "stars": 2, "photo": [[shade] * 3] * 2, "words": words}


def test_lists_tensors_and_texts_are_inputs_of_their_own_and_all_columns_are_scores() -> None:
    model = OnnxModel(everything(), INPUTS)
    assert set(model.inputs) == set(INPUTS)
    scores = model.scores([row(1, 2), row(3, 4, words=None, shade=1)])
    assert scores.tolist() == [[5, 3, 1], [9, 6, 0]]


def test_a_row_scores_the_same_among_lists_of_other_lengths() -> None:
    model = OnnxModel(everything(), INPUTS)
    rows = [row(1), row(1, 2, 3), row(4), row(2, 2), row(5, 5, 5)]
    together = model.scores(rows)
    assert together.tolist() == [model.scores([each])[0].tolist() for each in rows]
    assert together[:, 0].tolist() == [3, 8, 6, 6, 17]


def test_a_missing_number_is_nan_and_costs_only_its_row(tmp_path: Path) -> None:
    stored = publish(tmp_path, Everything, {"model.onnx": everything()}, "onnx (tests)")
    kernel = Kernel(load_published(stored), Everything, values_output(["a", "b", "c"]))
    good, bad = kernel.answer([row(1), {**row(1), "stars": None}])
    assert good == {"ok": {"values": {"a": 3.0, "b": 3.0, "c": 1.0}}}
    assert bad == {"error": {"status": 500}}


def test_a_single_input_of_another_name_takes_all_features_in_their_order() -> None:
    nodes = [helper.make_node("Identity", ["float_input"], ["out"])]
    content = graph(nodes, [("float_input", DOUBLE, ["n", 3])], [("out", DOUBLE)])
    model = OnnxModel(content, ["c", "a", "b"], column=0)
    assert model.scores([{"a": 1, "b": 2, "c": 0.1}]).tolist() == [0.1]  # in 64 bits
    assert model.inputs == ("c", "a", "b")


def test_the_output_of_the_scores_may_be_named() -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["first"]),
        helper.make_node("Neg", ["x"], ["second"]),
    ]
    content = graph(nodes, [("x", FLOAT, ["n", 1])], [("first", FLOAT), ("second", FLOAT)])
    assert OnnxModel(content, ["x"], 0).scores([{"x": 2}]).tolist() == [2]
    assert OnnxModel(content, ["x"], 0, "second").scores([{"x": 2}]).tolist() == [-2]
    with pytest.raises(ModelRefused, match=r"has no output third: it has first, second"):
        OnnxModel(content, ["x"], 0, "third")


def test_an_input_that_no_feature_can_fill_is_refused_by_its_name() -> None:
    content = graph([helper.make_node("Identity", ["x"], ["y"])], [("x", 9, ["n", 1])], [("y", 9)])
    with pytest.raises(ModelRefused, match=r"input x of model.onnx is a tensor\(bool\)"):
        OnnxModel(content, ["x"])


def test_inputs_of_one_dimension_are_filled_too() -> None:
    content = graph(
        [helper.make_node("Add", ["x", "y"], ["sum"])],
        [("x", FLOAT, ["n"]), ("y", FLOAT, ["n"])],
        [("sum", FLOAT)],
    )
    assert OnnxModel(content, ["x", "y"]).scores([{"x": 1, "y": 2}, {"x": 3, "y": 4}]).tolist() == [3, 7]


def test_a_model_of_texts_alone_takes_them_as_a_column() -> None:
    encode = helper.make_node(
        "LabelEncoder",
        ["words"],
        ["y"],
        domain="ai.onnx.ml",
        keys_strings=["good"],
        values_floats=[1.0],
        default_float=0.0,
    )
    content = graph([encode], [("words", TEXT, ["n", 1])], [("y", FLOAT)])
    scores = OnnxModel(content, ["words"], 0).scores([{"words": "good"}, {"words": "bad"}])
    assert np.array_equal(scores, [1, 0])
