"""A version in one line: every kind of feature and several classes, through BentoML itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import helper

from tests.ekiben.serving.conftest import serving
from tests.ekiben.serving.graphs import FLOAT, everything, graph
from tests.ekiben.serving.published import publish
from tests.ekiben.serving.shop import Everything, Photo
from tests.ekiben.serving.test_starting import refusal

CLASSES = ["fan", "seen", "said"]
SHOP = "tests.ekiben.serving.shop"
GOOD = {"visits": [1, 2], "stars": 2, "photo": [[0, 0, 1], [0, 0, 0]], "words": "good"}
LONG = {"visits": [0], "stars": 1, "photo": [[1, 1, 1], [1, 1, 1]], "words": "ü" * 32_768}
WRONG = {**GOOD, "photo": [[0, 0, 1], [0, "0", 0]]}


def of_photos() -> bytes:
    """The sum of a photo."""
    nodes = [
        helper.make_node("Flatten", ["photo"], ["flat"], axis=1),
        helper.make_node("ReduceSum", ["flat", "one"], ["sum"], keepdims=1),
    ]
    return graph(nodes, [("photo", FLOAT, ["n", 256, 256])], [("sum", FLOAT)], one=(7, [1]))


@pytest.fixture(scope="module")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME with a model for each service of `shop`."""
    home = tmp_path_factory.mktemp("shop")
    models = {
        "shop_v1": (Everything, everything(), {"classes": CLASSES}),
        "others_v1": (Everything, everything(), {"classes": CLASSES}),
        "photos_v1": (Photo, of_photos(), {"score_column": 0}),
    }
    for name, (features, content, metadata) in models.items():
        folder = home / "models" / name / "1"
        publish(folder, features, {"model.onnx": content}, "onnx (tests)", **metadata)
        (folder.parent / "latest").write_text("1")
    return home


@pytest.fixture(scope="module")
def shop(shop_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(shop_home, f"{SHOP}:ShopV1", tmp_path_factory.mktemp("log") / "log") as url:
        yield url


def test_texts_lists_and_tensors_come_in_and_a_probability_for_each_class_goes_out(shop: str) -> None:
    first, second, refused = httpx.post(f"{shop}/bulk", json=[GOOD, LONG, WRONG]).json()
    assert first["ok"] == {"label": "fan", "probabilities": {"fan": 5.0, "seen": 1.0, "said": 1.0}}
    assert second["ok"]["label"] == "seen"
    assert refused["error"]["errors"][0]["loc"] == ["photo", 1, 1]
    predicted = httpx.post(f"{shop}/predict", json={"instances": [GOOD, LONG]})
    assert predicted.json() == [first["ok"], second["ok"]]


def test_a_refusal_of_predict_names_the_element(shop: str) -> None:
    refused = httpx.post(f"{shop}/predict", json={"instances": [GOOD, WRONG]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["loc"] == ["instances", 1, "photo", 1, 1]


def test_the_labels_of_the_metrics_are_the_classes(shop: str) -> None:
    httpx.post(f"{shop}/bulk", json=[GOOD])
    assert 'prediction="fan"' in httpx.get(f"{shop}/metrics").text


def test_what_is_served_says_how_its_answers_are_read(shop: str) -> None:
    info = httpx.get(f"{shop}/model/info").json()
    assert info["output"] == {
        "score": None,
        "positive": None,
        "decision": "label",
        "scores": "probabilities",
        "classes": CLASSES,
        "names": None,
    }
    assert info["features"]["properties"]["photo"]["shape"] == [2, 3]


def test_a_tensor_of_65536_elements_is_answered_by_both_doors(shop_home: Path, tmp_path: Path) -> None:
    row = {"photo": [[0.5] * 256] * 256}
    deep: Any = 0.5
    for _ in range(70):
        deep = [deep]
    with serving(shop_home, f"{SHOP}:PhotosV1", tmp_path / "log") as url:
        (answer,) = httpx.post(f"{url}/bulk", json=[row]).json()
        assert answer == {"ok": {"white": 32_768.0}}
        assert httpx.post(f"{url}/predict", json={"instances": [row]}).json() == [answer["ok"]]
        refused = httpx.post(f"{url}/predict", json={"instances": [{"photo": deep}]})
        assert (refused.status_code, refused.json()["detail"]) == (400, "nested deeper than 64")


def test_a_model_of_another_kind_than_the_schema_does_not_start_and_says_why(
    shop_home: Path, tmp_path: Path
) -> None:
    output = refusal(shop_home, f"{SHOP}:OthersV1", tmp_path / "log")
    assert "the model was published with the classes fan, seen, said, and the schema" in output
    assert "Traceback" not in output
