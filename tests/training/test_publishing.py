"""Publishing a model of one's own."""

from __future__ import annotations

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

from services.features import Features, category, number
from services.onnx_model import load_onnx
from services.stored import LatestModel, check
from training.compiling import PublishingError
from training.publishing import frame_digest, publish_sklearn


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
