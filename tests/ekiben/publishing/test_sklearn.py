"""Models of scikit-learn: what is published serves as it was trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import bentoml
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from ekiben.publishing import Published, publish_sklearn
from ekiben.serving.features import Features, category, number, text
from ekiben.serving.kernel import open_kernel
from ekiben.serving.output import classes_output, probability_output, value_output, values_output
from tests.ekiben.publishing.patients import NAMES, Patient, card, in_classes, rows, values


class Visit(Features):
    pages: float | None = number(0, 1000, "pages", "", missing=True)
    country: str | None = category("", missing=True)


class Review(Features):
    words: str = text("")


WORDS = ["good and cheap", "so bad", "very good, really!", "BAD & dear", "it's O.K. für mich", "fine"] * 8


def publish(model: Any, targets: Any, held_out: Any = None, **changes: Any) -> Published:
    return publish_sklearn(
        model, card(**changes), held_out=(rows() if held_out is None else held_out, targets)
    )


def served(published: Published, features: type[Features], output: Any, given: list[Any]) -> list[Any]:
    """What the version answers these requests."""
    return [each["ok"] for each in open_kernel(published.path, features, output).answer(given)]


def requests(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON has them."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


@pytest.mark.parametrize(
    "model",
    [make_pipeline(StandardScaler(), Ridge()), RandomForestRegressor(n_estimators=20, random_state=1)],
    ids=["ridge", "forest"],
)
def test_a_regression_serves_the_values_that_it_was_trained_to_give(store: Path, model: Any) -> None:
    model.fit(rows()[:300], values()[:300])
    published = publish(model, values()[300:], rows()[300:])
    assert (published.is_new, published.served_as.split()[0], published.notes) == (True, "onnx", [])
    assert published.metrics.keys() == {"r2", "mae", "rmse"}
    answers = served(published, Patient, value_output(), requests(rows()[300:]))
    assert [each["value"] for each in answers] == pytest.approx(model.predict(rows()[300:]), rel=1e-5)


@pytest.mark.filterwarnings("ignore:The `probability` parameter:FutureWarning")
@pytest.mark.parametrize(
    ("model", "served_as"),
    [
        (HistGradientBoostingClassifier(max_iter=20), "skops"),
        (SVC(probability=True, random_state=1), "onnx"),
        (CalibratedClassifierCV(LogisticRegression(max_iter=5000), cv=2), "onnx"),
        (
            StackingClassifier(
                [("tree", DecisionTreeClassifier(max_depth=2)), ("ridge", LogisticRegression(max_iter=5000))],
                cv=2,
            ),
            "onnx",
        ),
        (GridSearchCV(LogisticRegression(max_iter=5000), {"C": [0.1, 1]}, cv=2), "onnx"),
    ],
    ids=["histogram boosting", "SVC", "calibrated", "stacking", "search"],
)
def test_a_classifier_of_two_words_serves_the_probability_of_the_one_that_its_card_names(
    store: Path, model: Any, served_as: str
) -> None:
    classes = in_classes("well", "ill")
    model.fit(rows(), classes)
    published = publish(model, classes, kind="classification", positive="ill")
    assert published.served_as.split()[0] == served_as
    assert {"auc", "brier", "accuracy_at_half"} <= published.metrics.keys()
    output = probability_output("ill", at_least="ill", below="well")
    answers = served(published, Patient, output, requests(rows()))
    ill = [*model.classes_].index("ill")
    expected = model.predict_proba(rows())[:, ill]
    assert [each["probability"] for each in answers] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("names", [("low", "middle", "high"), (3, 7, 11, 20)], ids=["words", "integers"])
@pytest.mark.parametrize(
    "model",
    [LogisticRegression(max_iter=5000), HistGradientBoostingClassifier(max_iter=5)],
    ids=["onnx", "skops"],
)
def test_several_classes_have_a_probability_each_under_their_own_names(
    store: Path, names: tuple[Any, ...], model: Any
) -> None:
    classes = in_classes(*names)
    model.fit(rows(), classes)
    published = publish(model, classes, kind="multiclass")
    assert {"log_loss", "brier", "accuracy", "auc", f"auc_{names[0]}"} <= published.metrics.keys()
    in_order = sorted(names)
    output = classes_output([str(each) for each in in_order])
    answers = served(published, Patient, output, requests(rows()))
    expected = model.predict_proba(rows())
    got = [[each["probabilities"][str(name)] for name in in_order] for each in answers]
    assert np.abs(np.array(got) - expected).max() < 2e-6
    assert [each["label"] for each in answers] == [str(each) for each in model.predict(rows())]


def test_encoded_classes_get_the_names_of_the_card(store: Path) -> None:
    classes = in_classes(0, 1, 2)
    model = LogisticRegression(max_iter=5000).fit(rows(), classes)
    by_number = publish(model, classes, kind="multiclass", classes=["a", "b", "c"])
    by_name = publish(model, in_classes("a", "b", "c"), kind="multiclass", classes=["a", "b", "c"])
    assert bentoml.models.get(by_number.tag).info.metadata["classes"] == ["a", "b", "c"]
    assert by_name.metrics == by_number.metrics


@pytest.mark.parametrize("model", [LinearRegression(), RandomForestRegressor(n_estimators=5, random_state=1)])
def test_several_horizons_are_a_value_each_with_metrics_of_their_own(store: Path, model: Any) -> None:
    targets = pd.DataFrame({"day_1": values(), "day_7": values() * 6.5})
    model.fit(rows(), targets)
    published = publish(model, targets)
    assert {"mae", "mae_day_1", "rmse_day_7"} <= published.metrics.keys()
    assert published.metrics["mae_day_7"] == pytest.approx(6.5 * published.metrics["mae_day_1"], rel=0.2)
    answers = served(published, Patient, values_output(["day_1", "day_7"]), requests(rows()))
    got = [[*each["values"].values()] for each in answers]
    assert np.array(got) == pytest.approx(model.predict(rows()), rel=1e-5)


def visits() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    pages = np.round(chance.uniform(0, 1000, 300))
    pages[::7] = np.nan
    country = np.array(["fr", "jp", np.nan], dtype=object)[chance.integers(0, 3, 300)]
    return pd.DataFrame({"pages": pages, "country": country})


@pytest.mark.parametrize(
    ("model", "served_as"),
    [(LogisticRegression(max_iter=5000), "onnx"), (HistGradientBoostingClassifier(max_iter=20), "skops")],
    ids=["onnx", "skops"],
)
def test_categories_and_what_is_missing_are_served_as_in_training(
    store: Path, model: Any, served_as: str
) -> None:
    frame = visits()
    home = (frame.country == "jp").astype(int)
    columns = make_column_transformer(
        (OneHotEncoder(categories=[["fr", "jp"]], handle_unknown="ignore", sparse_output=False), ["country"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), ["pages"]),
    )
    pipeline = make_pipeline(columns, model).fit(frame, home)
    published = publish(pipeline, home, frame, features=Visit, kind="classification")
    assert published.served_as.split()[0] == served_as
    output = probability_output("home", at_least="home", below="away")
    answers = served(published, Visit, output, requests(frame))
    expected = pipeline.predict_proba(frame)[:, 1]
    assert [each["probability"] for each in answers] == pytest.approx(expected, abs=2e-6)


def test_texts_are_served_by_the_vectorizer_that_learnt_them(store: Path) -> None:
    moods = ["good", "bad", "good", "bad", "so-so", "so-so"] * 8
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression()).fit(WORDS, moods)
    published = publish(model, moods, WORDS, features=Review, kind="multiclass")
    assert "its texts are cut into words by scikit-learn itself" in published.notes[0]
    output = classes_output(["bad", "good", "so-so"])
    answers = served(published, Review, output, [{"words": each} for each in WORDS])
    assert [each["label"] for each in answers] == model.predict(WORDS).tolist()
    got = [[*each["probabilities"].values()] for each in answers]
    assert np.abs(np.array(got) - model.predict_proba(WORDS)).max() < 1e-9


def test_texts_beside_numbers_are_columns_of_their_own(store: Path) -> None:
    class Rated(Features):
        words: str = text("")
        stars: float = number(0, 5, "stars", "")

    frame = pd.DataFrame({"words": WORDS, "stars": np.arange(len(WORDS)) % 6 / 1.0})
    columns = make_column_transformer((TfidfVectorizer(), "words"), (StandardScaler(), ["stars"]))
    good = (frame.stars > 2).astype(int)
    model = make_pipeline(columns, LogisticRegression()).fit(frame, good)
    published = publish(model, good, frame, features=Rated, kind="classification")
    output = probability_output("good", at_least="good", below="bad")
    answers = served(published, Rated, output, requests(frame))
    expected = model.predict_proba(frame)[:, 1]
    assert [each["probability"] for each in answers] == pytest.approx(expected, abs=1e-9)


def test_a_model_that_changes_when_it_is_compiled_is_served_by_scikit_learn(store: Path) -> None:
    forest = RandomForestRegressor(n_estimators=20, random_state=1)
    model = make_pipeline(StandardScaler(), forest).fit(rows()[:300], values()[:300])
    published = publish(model, values()[300:], rows()[300:])
    assert published.served_as.startswith("skops (scikit-learn ")
    why = "RandomForestRegressor does not convert to ONNX: it differs by"
    assert published.notes[0].startswith(f"served natively by scikit-learn (skops): {why}")
    answers = served(published, Patient, value_output(), requests(rows()[300:]))
    assert [each["value"] for each in answers] == pytest.approx(model.predict(rows()[300:]), rel=1e-12)


def test_publishing_leaves_the_threads_of_training_as_they_were(store: Path) -> None:
    from threadpoolctl import threadpool_info

    before = [each["num_threads"] for each in threadpool_info()]
    publish(HistGradientBoostingRegressor(max_iter=2).fit(rows(), values()), values())
    assert [each["num_threads"] for each in threadpool_info()][: len(before)] == before


def test_the_same_again_keeps_the_tag_and_another_model_gets_its_own(store: Path) -> None:
    def trained(count: int) -> Any:
        return make_pipeline(StandardScaler(), Ridge()).fit(rows()[:count], values()[:count])

    first, again, other, back = (publish(trained(count), values()) for count in (300, 300, 200, 300))
    assert first.tag == again.tag != other.tag
    assert [first.is_new, again.is_new, other.is_new] == [True, False, True]
    assert back.tag == first.tag
    assert str(bentoml.models.get("diabetes_v1:latest").tag) == back.tag


def test_a_model_that_scikit_learn_serves_keeps_its_tag_too(store: Path) -> None:
    models = [HistGradientBoostingRegressor(max_iter=3, random_state=1) for _ in range(2)]
    first, again = (publish(model.fit(rows(), values()), values()) for model in models)
    assert first.served_as.startswith("skops")
    assert (first.tag, again.is_new) == (again.tag, False)


def test_a_skops_file_has_neither_dates_nor_addresses(store: Path) -> None:
    path = publish(HistGradientBoostingRegressor(max_iter=2).fit(rows(), values()), values()).path
    with ZipFile(path / "model.skops") as file:
        assert {each.date_time for each in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert max(map(int, re.findall(rb'"__id__": (\d+)', file.read("schema.json")))) < 10_000


def test_more_that_is_said_of_a_version_is_stored_under_its_tag(store: Path) -> None:
    model = make_pipeline(StandardScaler(), Ridge()).fit(rows()[:300], values()[:300])
    first = publish(model, values())
    measured = publish(model, values(), more_metrics={"pinball": 3.0})
    owned = publish(model, values(), more_metrics={"pinball": 3.0}, owner="the ward")
    assert first.tag == measured.tag == owned.tag
    metadata = bentoml.models.get("diabetes_v1:latest").info.metadata
    assert (metadata["metrics"]["pinball"], metadata["owner"]) == (3.0, "the ward")


def test_rows_as_dicts_are_as_good_as_a_frame(store: Path) -> None:
    model = Ridge().fit(rows(), values())
    by_dict = publish(model, values().tolist(), requests(rows()))
    assert by_dict.metrics == publish(model, values()).metrics


def test_it_prints_the_tag_the_metrics_and_where_and_the_second_time_that_it_was_there(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Ridge().fit(rows(), values())
    published = publish(model, values())
    first = capsys.readouterr().out.splitlines()
    publish(model, values())
    again = capsys.readouterr().out.splitlines()
    assert first[0].startswith(f"diabetes v1 published: {published.tag}, served as onnx (onnxruntime ")
    assert first[1].startswith("  metrics: r2 0.")
    assert first[2:] == [f"  stored in {store}/diabetes_v1/{published.digest[:16]}"]
    assert again[0].startswith(f"diabetes v1 was in the store already: {published.tag}, served as onnx")
    assert again[1:] == first[1:]


def test_held_out_rows_that_the_service_would_refuse_are_counted(store: Path) -> None:
    class Young(Features):
        age: float = number(0, 50, "years", "age")

    model = Ridge().fit(rows()[["age"]], values())
    published = publish(model, values(), features=Young)
    older = int((rows().age > 50).sum())
    why = "age: Input should be less than or equal to 50 (widen the range in Young)"
    assert published.notes == [f"{older} of {len(rows())} held-out rows would be refused: {why}"]


def test_the_names_of_the_columns_are_those_of_the_features(store: Path) -> None:
    model = Ridge().fit(rows()[NAMES[::-1]], values())
    assert bentoml.models.get(publish(model, values()).tag).info.metadata["inputs"] == NAMES[::-1]
