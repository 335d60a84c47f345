"""Ready ONNX files, from wherever they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression, Ridge

from ekiben.publishing import Published, PublishingError, publish_onnx
from ekiben.serving.features import Features, category, number, numbers, tensor, text
from ekiben.serving.kernel import open_kernel
from ekiben.serving.output import classes_output, probability_output, value_output, values_output
from tests.ekiben.publishing.patients import NAMES, Patient, card, in_classes, rows, values

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


def served(published: Published, features: type[Features], output: Any, given: list[Any]) -> list[Any]:
    return [each["ok"] for each in open_kernel(published.path, features, output).answer(given)]


def patients() -> list[Any]:
    return rows().to_dict("records")


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("names", [("low", "middle", "high"), (1, 2, 3)], ids=["words", "integers"])
def test_a_conversion_of_scikit_learn_serves_with_a_zipmap_or_without(
    store: Path, tmp_path: Path, zipmap: bool, names: tuple[Any, ...]
) -> None:
    model = LogisticRegression(max_iter=5000).fit(rows(), in_classes(*names))
    options = {id(model): {"zipmap": zipmap}}
    made = to_onnx(model, rows().to_numpy(np.float32), options=options)
    (tmp_path / "given.onnx").write_bytes(made.SerializeToString())
    in_order = [str(each) for each in sorted(names)]
    said = card(kind="multiclass", **({} if zipmap else {"classes": in_order}))
    targets = in_classes(*map(str, names))
    published = publish_onnx(tmp_path / "given.onnx", said, (rows(), targets))
    assert published.metrics["accuracy"] == pytest.approx(model.score(rows(), in_classes(*names)), abs=0.01)
    answers = served(published, Patient, classes_output(in_order), patients())
    got = [[*each["probabilities"].values()] for each in answers]
    assert np.abs(np.array(got) - model.predict_proba(rows())).max() < 1e-6


def test_two_classes_that_the_file_names_need_the_positive_one(store: Path, tmp_path: Path) -> None:
    model = LogisticRegression(max_iter=5000).fit(rows(), in_classes("ill", "well"))
    made = to_onnx(model, rows().to_numpy(np.float32))
    path = tmp_path / "given.onnx"
    path.write_bytes(made.SerializeToString())
    held_out = (rows(), in_classes("ill", "well"))
    with pytest.raises(PublishingError, match="its classes are 'ill', 'well': say in the card which one"):
        publish_onnx(path, card(kind="classification"), held_out)
    published = publish_onnx(path, card(kind="classification", positive="ill"), held_out)
    output = probability_output("ill", at_least="ill", below="well")
    answers = served(published, Patient, output, patients())
    expected = model.predict_proba(rows())[:, 0]
    assert [each["probability"] for each in answers] == pytest.approx(expected, abs=1e-6)


def test_one_column_of_a_sigmoid_is_the_probability(store: Path, tmp_path: Path) -> None:
    published = publish_onnx(
        sigmoid(tmp_path), card(kind="classification"), (rows(), (rows().age > 50).astype(int))
    )
    assert published.metrics["auc"] == 1
    assert published.notes == ["its columns are taken in the order of Patient: age, bmi, bp"]


def test_the_columns_of_a_matrix_are_the_features_that_are_named(store: Path, tmp_path: Path) -> None:
    model = Ridge().fit(rows()[["bp", "age"]], values())
    path = tmp_path / "given.onnx"
    path.write_bytes(to_onnx(model, rows()[["bp", "age"]].to_numpy(np.float32)).SerializeToString())
    published = publish_onnx(path, card(), (rows(), values()), inputs=["bp", "age"])
    assert published.notes == []
    answers = served(published, Patient, value_output(), patients())
    expected = model.predict(rows()[["bp", "age"]])
    assert [each["value"] for each in answers] == pytest.approx(expected, rel=1e-5)


def test_inputs_by_other_names_are_those_that_are_named(store: Path, tmp_path: Path) -> None:
    class Visit(Features):
        shop: str | None = category("", missing=True)
        pages: float = number(0, 9, "", "")
        days: list[float] = numbers(0, 9, "", "")

    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["b"],
            ["known"],
            domain="ai.onnx.ml",
            keys_strings=["jp"],
            values_floats=[100.0],
            default_float=0.0,
        ),
        helper.make_node("ReduceSum", ["c", "one"], ["sum"], keepdims=1),
        helper.make_node("Concat", ["a", "known", "sum"], ["y"], axis=1),
    ]
    inputs = [("a", FLOAT, ["n", 1]), ("b", TEXT, ["n", 1]), ("c", DOUBLE, ["n", "k"])]
    nodes.insert(0, helper.make_node("Cast", ["c"], ["cf"], to=FLOAT))
    nodes[2] = helper.make_node("ReduceSum", ["cf", "one"], ["sum"], keepdims=1)
    path = written(tmp_path, nodes, inputs, {"y": FLOAT}, one=np.array([1], dtype=np.int64))
    said = card(features=Visit, names=["a", "b", "c"])
    given = [{"shop": "jp", "pages": 2.0, "days": [1.0, 2.0]}, {"shop": None, "pages": 3.0, "days": [4.0]}]
    targets = np.array([[2.0, 100.0, 3.0], [3.0, 0.0, 4.0]])
    published = publish_onnx(path, said, (given, targets), inputs=["pages", "shop", "days"])
    assert published.metrics["mae"] == 0
    answers = served(published, Visit, values_output(["a", "b", "c"]), given)
    assert [[*each["values"].values()] for each in answers] == targets.tolist()


def test_one_tensor_is_the_input_whatever_it_is_called(store: Path, tmp_path: Path) -> None:
    class Photo(Features):
        pixels: list[list[float]] = tensor((2, 2), 0, 1, "", "")

    nodes = [helper.make_node("ReduceSum", ["x", "both"], ["y"], keepdims=0)]
    path = written(
        tmp_path, nodes, [("x", FLOAT, ["n", 2, 2])], {"y": FLOAT}, both=np.array([1, 2], dtype=np.int64)
    )
    given = [{"pixels": [[0.0, 1.0], [1.0, 0.5]]}, {"pixels": [[0.0, 0.0], [0.0, 0.25]]}]
    published = publish_onnx(path, card(features=Photo), (given, [2.5, 0.25]))
    assert published.metrics["mae"] == 0
    answers = served(published, Photo, value_output(), given)
    assert [each["value"] for each in answers] == [2.5, 0.25]


def test_without_held_out_rows_it_is_published_and_nothing_is_measured(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = publish_onnx(total(tmp_path), card())
    assert (published.is_new, published.metrics) == (True, {})
    assert "metrics: none, without held-out rows" in capsys.readouterr().out


def test_weights_that_lie_beside_the_file_are_taken_in(store: Path, tmp_path: Path) -> None:
    model = onnx.load(sigmoid(tmp_path))
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.zeros((300, 10), dtype=np.float32), "unused")
    )
    path = tmp_path / "apart.onnx"
    onnx.save(model, path, save_as_external_data=True, location="apart.data", size_threshold=0)
    published = publish_onnx(path, card(kind="classification"))
    (tmp_path / "apart.data").unlink()
    output = probability_output("old", at_least="old", below="young")
    assert len(served(published, Patient, output, patients())) == len(rows())


def no_onnx(folder: Path) -> Path:
    path = folder / "given.onnx"
    path.write_text("not a model")
    return path


def labels_only(folder: Path) -> Path:
    nodes = [helper.make_node("ArgMax", ["x"], ["label"], axis=1)]
    return written(folder, nodes, [("x", FLOAT, ["n", 3])], {"label": INT64})


def two_outputs(folder: Path) -> Path:
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]
    return written(folder, nodes, [("x", FLOAT, ["n", 3])], {"a": FLOAT, "b": FLOAT})


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


def test_an_output_that_is_named_holds_the_scores(store: Path, tmp_path: Path) -> None:
    frame = rows()
    targets = pd.DataFrame({name: -frame[name] for name in NAMES})
    published = publish_onnx(two_outputs(tmp_path), card(names=NAMES), (frame, targets), output="a")
    assert published.metrics["mae"] < 1e-5
    with pytest.raises(PublishingError, match="it has no output c: it has a, b"):
        publish_onnx(two_outputs(tmp_path), card(names=NAMES), (frame, targets), output="c")


def test_columns_in_another_order_are_doubted(store: Path, tmp_path: Path) -> None:
    model = Ridge().fit(rows()[["bp", "age", "bmi"]], values())
    path = tmp_path / "given.onnx"
    path.write_bytes(to_onnx(model, rows().to_numpy(np.float32)).SerializeToString())
    published = publish_onnx(path, card(), (rows(), values()))
    assert "below the 0 of a guess: are the columns, or the classes, in another order" in published.notes[-1]
