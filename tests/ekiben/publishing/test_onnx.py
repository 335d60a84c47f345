"""Ready ONNX files, from wherever they come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression, Ridge

from ekiben.publishing import Published, PublishingError, publish_onnx
from ekiben.serving.features import Features, category, number, numbers, tensor
from ekiben.serving.kernel import open_kernel
from ekiben.serving.output import classes_output, probability_output, value_output, values_output
from tests.ekiben.publishing.graphs import DOUBLE, FLOAT, TEXT, sigmoid, total, two_outputs, written
from tests.ekiben.publishing.patients import NAMES, Patient, card, in_classes, rows, values


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
