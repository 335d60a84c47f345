"""Publishing a model of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from ekiben.publishing.publishing import PublishingError, frame_digest, publish_sklearn
from ekiben.serving.features import Features, category, number
from ekiben.serving.onnx_model import load_onnx
from ekiben.serving.store import LatestModel, check

ROOT = Path(__file__).parents[3]


class Patient(Features):
    age: float = number(0, 120, "years", "age")
    bmi: float = number(10, 80, "kg/m²", "body mass index")
    bp: float = number(20, 250, "mmHg", "average blood pressure")


NAMES = list(Patient.model_fields)


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    frame: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
    return frame


def publish(model: Any, patients: pd.DataFrame, version: str = "v1", **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "name": "diabetes",
        "version": version,
        "model": model,
        "features": Patient,
        "target": "progression after a year",
        "held_out": (patients[NAMES][300:], patients["target"][300:].to_numpy()),
        "task": "regression",
        "data_digest": frame_digest(patients),
    }
    return publish_sklearn(**{**arguments, **changes})


@pytest.mark.parametrize(
    "model",
    [make_pipeline(StandardScaler(), Ridge()), RandomForestRegressor(n_estimators=20, random_state=1)],
    ids=["ridge", "forest"],
)
def test_a_regression_serves_the_values_that_it_was_trained_to_give(
    store: Path, patients: pd.DataFrame, model: Any
) -> None:
    model.fit(patients[NAMES][:300], patients["target"][:300])
    published = publish(model, patients)
    assert published.is_new
    assert published.metrics.keys() == {"r2", "mae", "rmse"}
    rows = patients[NAMES][300:]
    got = load_onnx(check(LatestModel("diabetes_v1"))).scores([dict(row) for row in rows.to_dict("records")])
    assert got == pytest.approx(model.predict(rows), rel=1e-5)


def test_the_same_again_keeps_the_tag_and_another_model_gets_its_own(
    store: Path, patients: pd.DataFrame
) -> None:
    def trained(rows: int) -> Any:
        return make_pipeline(StandardScaler(), Ridge()).fit(patients[NAMES][:rows], patients["target"][:rows])

    first, again, other, back = (publish(trained(rows), patients) for rows in (300, 300, 200, 300))
    assert first.tag == again.tag != other.tag
    assert [first.is_new, again.is_new, other.is_new] == [True, False, True]
    assert back.tag == first.tag
    assert str(bentoml.models.get("diabetes_v1:latest").tag) == back.tag


def test_a_model_that_an_older_release_measured_less_of_is_published_again_under_its_tag(
    store: Path, patients: pd.DataFrame
) -> None:
    model = make_pipeline(StandardScaler(), Ridge()).fit(patients[NAMES][:300], patients["target"][:300])
    first = publish(model, patients)
    again = publish(model, patients, more_metrics={"pinball": 3.0})
    assert again.tag == first.tag
    assert bentoml.models.get("diabetes_v1:latest").info.metadata["metrics"]["pinball"] == 3.0


def test_a_model_that_changes_when_compiled_is_not_published(store: Path, patients: pd.DataFrame) -> None:
    forest = RandomForestRegressor(n_estimators=20, random_state=1)
    model = make_pipeline(StandardScaler(), forest).fit(patients[NAMES][:300], patients["target"][:300])
    with pytest.raises(PublishingError, match="diabetes v1: compiled to ONNX it differs by"):
        publish(model, patients)
    assert LatestModel("diabetes_v1").stored is None


def test_a_column_that_the_features_lack_is_named(store: Path, patients: pd.DataFrame) -> None:
    names = [*NAMES, "s1"]
    model = make_pipeline(StandardScaler(), Ridge()).fit(patients[names], patients["target"])
    with pytest.raises(PublishingError, match="Patient lacks s1"):
        publish(model, patients, held_out=(patients[names], patients["target"].to_numpy()))


def test_code_of_ones_own_inside_the_model_is_not_published(store: Path, patients: pd.DataFrame) -> None:
    model = make_pipeline(FunctionTransformer(np.log1p), Ridge()).fit(patients[NAMES], patients["target"])
    with pytest.raises(PublishingError, match="diabetes v1: cannot be compiled to ONNX: "):
        publish(model, patients)


def labels(patients: pd.DataFrame, *names: Any) -> pd.Series[Any]:
    """The target cut into as many classes of equal size as there are names."""
    return pd.qcut(patients["target"], len(names), labels=False).map(dict(enumerate(names)))


def three_classes(patients: pd.DataFrame) -> dict[str, Any]:
    target = labels(patients, "low", "middle", "high")
    model = LogisticRegression(max_iter=5000).fit(patients[NAMES], target)
    return {"model": model, "task": "classification", "held_out": (patients[NAMES], target.to_numpy())}


def words_for_classes(patients: pd.DataFrame) -> dict[str, Any]:
    target = labels(patients, 0, 1)
    model = LogisticRegression(max_iter=5000).fit(patients[NAMES], target)
    return {
        "model": model,
        "task": "classification",
        "held_out": (patients[NAMES], target.map({0: "no", 1: "yes"}).to_numpy()),
    }


def no_probabilities(patients: pd.DataFrame) -> dict[str, Any]:
    target = labels(patients, 0, 1)
    model = LinearSVC().fit(patients[NAMES], target)
    return {"model": model, "task": "classification", "held_out": (patients[NAMES], target.to_numpy())}


def a_classifier_as_regression(patients: pd.DataFrame) -> dict[str, Any]:
    return {"model": LogisticRegression(max_iter=5000).fit(patients[NAMES], labels(patients, 0, 1))}


def not_fitted(patients: pd.DataFrame) -> dict[str, Any]:
    return {"model": Ridge()}


def fitted_without_names(patients: pd.DataFrame) -> dict[str, Any]:
    return {"model": Ridge().fit(patients[NAMES].to_numpy(), patients["target"])}


def a_missing_value(patients: pd.DataFrame) -> dict[str, Any]:
    rows = patients[NAMES].copy()
    rows.loc[3, "bmi"] = np.nan
    model = Ridge().fit(patients[NAMES], patients["target"])
    return {"model": model, "held_out": (rows, patients["target"].to_numpy())}


def a_missing_target(patients: pd.DataFrame) -> dict[str, Any]:
    target = patients["target"].to_numpy().copy()
    target[3] = np.nan
    return {"model": Ridge().fit(patients[NAMES], patients["target"]), "held_out": (patients[NAMES], target)}


def fewer_targets_than_rows(patients: pd.DataFrame) -> dict[str, Any]:
    model = Ridge().fit(patients[NAMES], patients["target"])
    return {"model": model, "held_out": (patients[NAMES], patients["target"].to_numpy()[:5])}


def a_column_less(patients: pd.DataFrame) -> dict[str, Any]:
    model = Ridge().fit(patients[NAMES], patients["target"])
    return {"model": model, "held_out": (patients[["age", "bmi"]], patients["target"].to_numpy())}


def two_targets(patients: pd.DataFrame) -> dict[str, Any]:
    return {"model": Ridge().fit(patients[NAMES], patients[["target", "s1"]])}


def a_name_no_store_takes(patients: pd.DataFrame) -> dict[str, Any]:
    return {"model": Ridge().fit(patients[NAMES], patients["target"]), "name": "my model"}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            three_classes,
            "its classes are high, low, middle, and a classification has the two classes 0 and 1",
        ),
        (words_for_classes, "must be numbers"),
        (no_probabilities, "gives no probabilities"),
        (a_classifier_as_regression, 'publish it with task="classification"'),
        (not_fitted, "the model is not fitted"),
        (fitted_without_names, "fit it on a DataFrame"),
        (a_missing_value, "cannot score the held-out rows"),
        (a_missing_target, "none may be missing"),
        (fewer_targets_than_rows, "give one each"),
        (a_column_less, "the held-out rows lack bp"),
        (two_targets, "one each is served"),
        (a_name_no_store_takes, "'my model' must be made of"),
    ],
)
def test_what_cannot_be_published_is_one_line_that_says_what_to_do(
    store: Path, patients: pd.DataFrame, case: Callable[[pd.DataFrame], dict[str, Any]], words: str
) -> None:
    with pytest.raises(PublishingError) as refused:
        publish(patients=patients, **case(patients))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_training_script_whose_model_is_not_published_ends_with_one_line() -> None:
    script = "from ekiben.publishing.errors import PublishingError\nraise PublishingError('it is too large')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (1, "not published: it is too large\n")


def test_categories_without_an_encoder_in_front_are_refused(store: Path) -> None:
    class Named(Features):
        name: str = category("")

    frame = pd.DataFrame({"name": [1.0, 2.0, 3.0, 4.0]})
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, [0, 1, 0, 1])
    with pytest.raises(PublishingError, match="ColumnTransformer"):
        publish_sklearn(
            name="named",
            version="v1",
            model=model,
            features=Named,
            target="x",
            held_out=(frame, np.array([0, 1, 0, 1])),
            task="classification",
            data_digest="",
        )
