"""ONNX files that cannot be served: each is one line that says how to fix it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from ekiben.publishing import PublishingError, publish_onnx
from ekiben.serving.features import Features, number, numbers, text
from tests.ekiben.publishing.graphs import FLOAT, INT64, TEXT, sigmoid, total, two_outputs, written
from tests.ekiben.publishing.patients import card, in_classes, rows, values


def no_onnx(folder: Path) -> Path:
    path = folder / "given.onnx"
    path.write_text("not a model")
    return path


def labels_only(folder: Path) -> Path:
    nodes = [helper.make_node("ArgMax", ["x"], ["label"], axis=1)]
    return written(folder, nodes, [("x", FLOAT, ["n", 3])], {"label": INT64})


def named(folder: Path, *inputs: tuple[str, int, list[Any]]) -> Path:
    """A file with these inputs, of which it gives the first."""
    nodes = [helper.make_node("Cast", [inputs[0][0]], ["y"], to=FLOAT)]
    return written(folder, nodes, [*inputs], {"y": FLOAT})


def centred(folder: Path) -> Path:
    """A row less the mean of all rows, as a net in training does it."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["less"]),
        helper.make_node("ReduceSum", ["less", "one"], ["y"], keepdims=1),
    ]
    return written(folder, nodes, [("x", FLOAT, ["n", 3])], {"y": FLOAT}, one=np.array([1], dtype=np.int64))


class Optional(Features):
    age: float | None = number(0, 120, "", "", missing=True)


class Daily(Features):
    days: list[float] = numbers(0, 9, "", "", length=7)


class Words(Features):
    words: str = text("")
    more: str = text("")


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (lambda folder: folder / "absent.onnx", {}, "absent.onnx: No such file or directory"),
    (lambda folder: folder, {}, "Is a directory"),
    (no_onnx, {}, "given.onnx is no ONNX file that can be read"),
    (
        lambda folder: written(folder, [], [], {}),
        {},
        "given.onnx is no ONNX file that can be read: there is nothing in it",
    ),
    (
        lambda folder: total(folder, "days"),
        {"features": Daily},
        "its input days takes shape (any, 3) and Daily.days has another: declare its length or shape",
    ),
    (labels_only, {}, "of its outputs label 0 are tensors of floats: say which one holds the scores"),
    (
        two_outputs,
        {},
        'of its outputs a, b 2 are tensors of floats: say which one holds the scores, as output="…"',
    ),
    (
        lambda folder: total(folder, shape=("n", 4)),
        {},
        "takes 4 columns and there are 3: name these 4 features",
    ),
    (
        lambda folder: total(folder, shape=(1, 3)),
        {},
        "takes 1 rows at a time: export it with a first dimension",
    ),
    (
        lambda folder: total(folder, kind=TensorProto.FLOAT16),
        {},
        "takes float16, and features are float, double",
    ),
    (
        lambda folder: named(folder, ("age", FLOAT, ["n"])),
        {},
        "age takes shape (any): export it as (rows, 1)",
    ),
    (
        lambda folder: named(folder, ("old", FLOAT, ["n", 1]), ("age", FLOAT, ["n", 1])),
        {},
        "Patient lacks old",
    ),
    (
        lambda folder: named(folder, ("age", TEXT, ["n", 1])),
        {},
        "age takes texts and Patient.age is a number",
    ),
    (
        lambda folder: named(folder, ("age", INT64, ["n", 1])),
        {"features": Optional},
        "its input age takes whole numbers, which cannot be missing, and age may",
    ),
    (
        lambda folder: named(folder, ("x", TEXT, ["n", 1])),
        {"features": Words},
        "name the one feature for it in inputs, which is category(…) or text(…)",
    ),
    (
        lambda folder: total(folder),
        {"kind": "classification"},
        "probabilities from 0 to 1: end it with a sigmoid or a softmax",
    ),
    (sigmoid, {"kind": "multiclass"}, "it gives 1 probabilities a row, and its card lists 0 classes"),
    (centred, {}, "a row scores otherwise beside others: export it for inference (model.eval()"),
    (
        lambda folder: sigmoid(folder, ("Sigmoid", "Flatten")),
        {"kind": "multiclass", "classes": ["a", "b"]},
        "its card lists 2 classes: list the classes in the order of the columns",
    ),
]


@pytest.mark.parametrize(("made", "said", "words"), REFUSED, ids=[words[:40] for *_, words in REFUSED])
def test_what_cannot_be_served_is_one_line(
    store: Path, tmp_path: Path, made: Any, said: dict[str, Any], words: str
) -> None:
    targets = values() if said.get("kind", "regression") == "regression" else in_classes(0, 1)
    held_out: Any = (rows(), targets)
    if "features" in said:
        held_out = None
    with pytest.raises(PublishingError) as refused:
        publish_onnx(made(tmp_path), card(**said), held_out)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
