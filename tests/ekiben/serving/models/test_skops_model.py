"""Models that scikit-learn itself serves, from skops."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from ekiben.serving.features import Features, category, number, numbers, text
from ekiben.serving.kernel import Kernel, open_kernel
from ekiben.serving.models.loading import load_published
from ekiben.serving.models.model import Model
from ekiben.serving.output import classes_output, probability_output, values_output
from ekiben.serving.stored import ModelRefused, Stored
from tests.ekiben.serving.published import publish


class Visit(Features):
    pages: float | None = number(0, 1000, "pages", "", missing=True)
    country: str | None = category("", missing=True)


class Review(Features):
    words: str = text("")


def visits() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    pages = chance.uniform(0, 1000, 300)
    pages[::7] = np.nan
    country = np.array(["fr", "jp", np.nan], dtype=object)[chance.integers(0, 3, 300)]
    return pd.DataFrame({"pages": pages, "country": country})


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """As JSON has them."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def fitted(model: Any, targets: Any) -> Any:
    columns = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["country"]),
        remainder="passthrough",
    )
    return make_pipeline(columns, model).fit(visits(), targets)


def stored_as_skops(folder: Path, features: type[Features], model: Any, **metadata: Any) -> Stored:
    files = {"model.skops": skops.io.dumps(model)}
    return publish(folder, features, files, "skops (scikit-learn 1)", **metadata)


def loaded(*arguments: Any, **metadata: Any) -> Model:
    return load_published(stored_as_skops(*arguments, **metadata))


def test_histogram_boosting_of_three_classes_scores_as_it_was_trained_missing_values_too(
    tmp_path: Path,
) -> None:
    frame = visits()
    targets = np.where(frame.pages.isna(), 0, np.where(frame.country == "jp", 1, 2))
    model = fitted(HistGradientBoostingClassifier(max_iter=20), targets)
    stored_as_skops(tmp_path, Visit, model)
    kernel = open_kernel(tmp_path, Visit, classes_output(["lost", "home", "away"]))
    answers = [each["ok"] for each in kernel.answer(rows_of(frame))]
    expected = model.predict_proba(frame)
    got = [[*answer["probabilities"].values()] for answer in answers]
    assert np.abs(np.array(got) - expected).max() < 1e-12
    assert [answer["label"] for answer in answers] == [
        ["lost", "home", "away"][place] for place in expected.argmax(axis=1)
    ]


def test_a_row_scores_the_same_alone_with_everything_missing(tmp_path: Path) -> None:
    frame = visits()
    model = loaded(tmp_path, Visit, fitted(HistGradientBoostingRegressor(), frame.pages.fillna(0)))
    rows = [{"pages": None, "country": None}, {"pages": 3.0, "country": "fr"}]
    assert model.scores(rows).tolist() == [model.scores([each])[0] for each in rows]


def test_the_column_of_the_metadata_is_the_score_of_two_classes(tmp_path: Path) -> None:
    frame = visits()
    model = fitted(HistGradientBoostingClassifier(), (frame.country == "jp").astype(int))
    output = probability_output("home", at_least="home", below="away")
    kernel = Kernel(loaded(tmp_path, Visit, model, score_column=1), Visit, output)
    answers = [each["ok"]["decision"] for each in kernel.answer(rows_of(frame))]
    assert answers == ["home" if country == "jp" else "away" for country in frame.country]


def test_several_values_of_a_regression_are_a_matrix(tmp_path: Path) -> None:
    frame = visits().fillna({"pages": 0.0})
    model = LinearRegression().fit(frame[["pages"]], np.c_[frame.pages, 7 * frame.pages])

    class Pages(Features):
        pages: float = number(0, 1000, "pages", "")

    kernel = Kernel(loaded(tmp_path, Pages, model), Pages, values_output(["day", "week"]))
    (answer,) = kernel.answer([{"pages": 100}])
    assert answer["ok"]["values"] == pytest.approx({"day": 100, "week": 700})


def test_a_vectorizer_gets_the_texts_themselves(tmp_path: Path) -> None:
    words = ["good and cheap", "so bad", "very good", "bad and dear"] * 5
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(words, [1, 0, 1, 0] * 5)
    scores = loaded(tmp_path, Review, model, score_column=1).scores([{"words": each} for each in words])
    assert np.allclose(scores, model.predict_proba(words)[:, 1])


def test_a_type_that_is_not_trusted_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(os.system), LinearRegression())
    with pytest.raises(ModelRefused, match=r"it holds posix.system, which model.skops is not trusted with"):
        loaded(tmp_path, Visit, model)


def test_lists_are_refused_by_their_names(tmp_path: Path) -> None:
    class Daily(Features):
        days: list[float] = numbers(0, 1, "visits", "")

    with pytest.raises(ModelRefused, match="days is none of them: declare a number for each element"):
        loaded(tmp_path, Daily, LinearRegression())


def test_a_version_that_is_served_as_what_nobody_knows_asks_for_a_loader(tmp_path: Path) -> None:
    stored = publish(tmp_path, Visit, {"x": b""}, "torch")
    with pytest.raises(
        ModelRefused, match="it is served as torch, and only onnx and skops load by themselve"
    ):
        load_published(stored)
