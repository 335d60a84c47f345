"""XGBoost and LightGBM, by onnxmltools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from ekiben.publishing import (
    Published,
    PublishingError,
    publish_lightgbm,
    publish_sklearn,
    publish_xgboost,
)
from ekiben.serving.features import Features, category, number
from ekiben.serving.kernel import open_kernel
from ekiben.serving.output import classes_output, probability_output, value_output
from tests.ekiben.publishing.patients import card

_WHY = "`make setup` installs it (the extra `publishing`)"
onnxmltools = pytest.importorskip("onnxmltools", reason=_WHY)
xgboost = pytest.importorskip("xgboost", reason=_WHY)
lightgbm = pytest.importorskip("lightgbm", reason=_WHY)

TREES = 30


class Buyer(Features):
    age: float | None = number(0, 120, "years", "", missing=True)
    money: float | None = number(0, 1e12, "euros", "", missing=True)
    mood: float = number(-9, 9, "points", "")
    shop: str | None = category("", missing=True)


NUMBERS = ["age", "money", "mood"]


def buyers(rows: int = 900) -> pd.DataFrame:
    """Amounts of money with seven digits before the point and more behind, as there are; some is missing."""
    chance = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": chance.integers(18, 90, rows).astype(float),
            "money": chance.lognormal(14, 1, rows),
            "mood": chance.normal(size=rows),
            "shop": np.array(["a", "b", "c"], dtype=object)[chance.integers(0, 3, rows)],
        }
    )
    frame.loc[::7, "money"] = np.nan
    frame.loc[::11, "age"] = np.nan
    return frame


def spent() -> pd.Series[Any]:
    known = buyers().fillna({"age": 0.0, "money": 0.0})
    return 100 * (known.age / 40 + np.log1p(known.money) / 10 + known.mood)


def in_classes(*names: Any) -> pd.Series[Any]:
    return pd.qcut(spent(), len(names), labels=False).map(dict(enumerate(names)))


def requests(frame: pd.DataFrame) -> list[Any]:
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def served(published: Published, output: Any) -> list[Any]:
    return [each["ok"] for each in open_kernel(published.path, Buyer, output).answer(requests(buyers()))]


def xgb(kind: str) -> Any:
    made = xgboost.XGBRegressor if kind == "regression" else xgboost.XGBClassifier
    return made(n_estimators=TREES, n_jobs=1)


def lgbm(kind: str) -> Any:
    made = lightgbm.LGBMRegressor if kind == "regression" else lightgbm.LGBMClassifier
    return made(n_estimators=TREES, n_jobs=1, verbose=-1)


LIBRARIES = pytest.mark.parametrize(
    ("publish", "make"), [(publish_xgboost, xgb), (publish_lightgbm, lgbm)], ids=["xgboost", "lightgbm"]
)


@LIBRARIES
def test_a_probability_is_the_boosters_own_with_numbers_missing_too(
    store: Any, publish: Callable[..., Published], make: Callable[[str], Any]
) -> None:
    frame, targets = buyers()[NUMBERS], in_classes(0, 1)
    model = make("classification").fit(frame, targets)
    published = publish(model, card(features=Buyer, kind="classification"), (frame, targets))
    assert published.served_as.startswith("onnx (onnxruntime ")
    output = probability_output("big", at_least="big", below="small")
    got = [each["probability"] for each in served(published, output)]
    assert np.abs(np.array(got) - model.predict_proba(frame)[:, 1]).max() < 1e-6
    for name in ("age", "money"):
        gone = requests(frame.assign(**{name: np.nan}))
        answers = open_kernel(published.path, Buyer, output).answer(gone)
        expected = model.predict_proba(frame.assign(**{name: np.nan}))[:, 1]
        got = [each["ok"]["probability"] for each in answers]
        assert np.abs(np.array(got) - expected).max() < 1e-6


@LIBRARIES
def test_several_classes_and_values_are_the_boosters_own(
    store: Any, publish: Callable[..., Published], make: Callable[[str], Any]
) -> None:
    frame, targets = buyers()[NUMBERS], in_classes(0, 1, 2)
    model = make("multiclass").fit(frame, targets)
    said = card(features=Buyer, kind="multiclass", classes=["few", "some", "many"])
    published = publish(model, said, (frame, targets))
    answers = served(published, classes_output(["few", "some", "many"]))
    got = [[*each["probabilities"].values()] for each in answers]
    assert np.abs(np.array(got) - model.predict_proba(frame)).max() < 1e-6
    model = make("regression").fit(frame, spent())
    published = publish(model, card(features=Buyer), (frame, spent()))
    got = [each["value"] for each in served(published, value_output())]
    expected = model.predict(frame)
    assert np.abs(np.array(got) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
def test_a_booster_itself_is_as_good(store: Any, library: str) -> None:
    frame, targets = buyers()[NUMBERS], in_classes("small", "big")
    is_big = (targets == "big").astype(int)
    said = card(features=Buyer, kind="classification", positive="big")
    output = probability_output("big", at_least="big", below="small")
    if library == "xgboost":
        data = xgboost.DMatrix(frame, is_big)
        model = xgboost.train({"objective": "binary:logistic"}, data, TREES)
        published, expected = publish_xgboost(model, said, (frame, targets)), model.predict(data)
    else:
        options = {"objective": "binary", "verbose": -1, "num_threads": 1}
        model = lightgbm.train(options, lightgbm.Dataset(frame, is_big), TREES)
        published, expected = publish_lightgbm(model, said, (frame, targets)), model.predict(frame)
    got = [each["probability"] for each in served(published, output)]
    assert np.abs(np.array(got) - expected).max() < 1e-6


@pytest.mark.filterwarnings("ignore:The argument 'eval_set'")
@LIBRARIES
def test_a_model_that_stopped_early_serves_its_best_trees(
    store: Any, publish: Callable[..., Published], make: Callable[[str], Any]
) -> None:
    frame, targets = buyers()[NUMBERS], spent()
    model, more = make("regression").set_params(n_estimators=300), {}
    if publish is publish_xgboost:
        model.set_params(early_stopping_rounds=3)
        more["verbose"] = False
    else:
        more["callbacks"] = [lightgbm.early_stopping(3, verbose=False)]
    model.fit(frame[:600], targets[:600], eval_set=[(frame[600:], targets[600:])], **more)
    published = publish(model, card(features=Buyer), (frame[600:], targets[600:]))
    got = [each["value"] for each in served(published, value_output())]
    expected = model.predict(frame)
    assert np.abs(np.array(got) - expected).max() < 1e-5 * np.abs(expected).max()
    stopped_at = model.best_iteration if publish is publish_xgboost else model.best_iteration_
    assert stopped_at < 290


@LIBRARIES
def test_a_search_over_parameters_is_published_as_its_best_model(
    store: Any, publish: Callable[..., Published], make: Callable[[str], Any]
) -> None:
    frame, targets = buyers()[NUMBERS], in_classes(0, 1)
    search = GridSearchCV(make("classification"), {"max_depth": [2, 4]}, cv=2).fit(frame, targets)
    published = publish(search, card(features=Buyer, kind="classification"), (frame, targets))
    best = publish(search.best_estimator_, card(features=Buyer, kind="classification"), (frame, targets))
    assert (best.tag, best.is_new) == (published.tag, False)


@LIBRARIES
def test_a_pipeline_that_encodes_categories_ends_with_a_booster(
    store: Any, publish: Callable[..., Published], make: Callable[[str], Any]
) -> None:
    frame, targets = buyers(), in_classes(0, 1)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer((encoder, ["shop"]), ("passthrough", NUMBERS))
    model = make_pipeline(columns, make("classification"))
    if publish is publish_lightgbm:
        model.steps[0][1].set_output(transform="pandas")
    model.fit(frame, targets)
    published = publish(model, card(features=Buyer, kind="classification"), (frame, targets))
    output = probability_output("big", at_least="big", below="small")
    got = [each["probability"] for each in served(published, output)]
    assert np.abs(np.array(got) - model.predict_proba(frame)[:, 1]).max() < 1e-6


@LIBRARIES
def test_the_same_again_keeps_the_tag(
    store: Any, publish: Callable[..., Published], make: Callable[[str], Any]
) -> None:
    frame = buyers()[NUMBERS]
    first, again = (
        publish(make("regression").fit(frame, spent()), card(features=Buyer), (frame, spent()))
        for _ in range(2)
    )
    assert (first.tag, first.is_new, again.is_new) == (again.tag, True, False)


def test_a_number_on_the_other_side_of_a_threshold_in_32_bits_is_refused(store: Any) -> None:
    amounts = 2.0**24 + np.arange(40) / 8  # 32 bits hold every second one of the whole numbers here
    frame = pd.DataFrame({"money": np.repeat(amounts, 30)})
    targets = (frame.money > amounts[19]).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(frame, targets)
    with pytest.raises(PublishingError) as refused:
        publish_lightgbm(model, card(features=Buyer, kind="classification"), (frame, targets))
    assert "converted to ONNX it differs by" in str(refused.value)
    assert "train it on numbers rounded to 32 bits, rows.astype('float32')" in str(refused.value)


def with_categories() -> pd.DataFrame:
    return buyers().astype({"shop": "category"})


REFUSED: list[tuple[Callable[[], Any], dict[str, Any], Any, str]] = [
    (lambda: xgb("regression"), {}, publish_xgboost, "the model is not fitted: call fit before publishing"),
    (lambda: lgbm("regression"), {}, publish_lightgbm, "the model is not fitted: call fit before publishing"),
    (
        lambda: xgb("regression").set_params(enable_categorical=True).fit(with_categories(), spent()),
        {},
        publish_xgboost,
        "it splits on categories of pandas, which ONNX cannot: encode them in a pipeline in front",
    ),
    (
        lambda: lgbm("regression").fit(with_categories(), spent()),
        {},
        publish_lightgbm,
        "it splits on categories of pandas, which ONNX cannot: encode them in a pipeline in front",
    ),
    (
        lambda: xgb("regression").fit(buyers()[NUMBERS].to_numpy(), spent()),
        {},
        publish_xgboost,
        "the model was not trained on named columns",
    ),
    (
        lambda: lgbm("regression").fit(buyers()[NUMBERS].to_numpy(), spent()),
        {},
        publish_lightgbm,
        "the model was not trained on named columns",
    ),
    (lambda: Ridge().fit(buyers()[["mood"]], spent()), {}, publish_xgboost, "a Ridge is no model of xgboost"),
    (
        lambda: xgb("regression").fit(buyers()[NUMBERS], np.c_[spent(), spent()]),
        {"names": ["day_1", "day_7"]},
        publish_xgboost,
        "it gives several values a row, which onnxmltools converts wrongly: publish a model for each",
    ),
    (
        lambda: lgbm("regression").fit(buyers()[NUMBERS], spent()),
        {},
        publish_sklearn,
        "it is a model of lightgbm: use publish_lightgbm",
    ),
    (
        lambda: lgbm("regression").fit(buyers()[NUMBERS].assign(more=1.0), spent()),
        {},
        publish_lightgbm,
        "Buyer lacks more: add a field of that name",
    ),
    (
        lambda: xgboost.train(
            {"objective": "multi:softprob", "num_class": 3},
            xgboost.DMatrix(buyers()[NUMBERS], in_classes(0, 1, 2)),
            3,
        ),
        {"kind": "multiclass"},
        publish_xgboost,
        "it gives 3 probabilities a row, and its card lists 0 classes: list the classes in the order",
    ),
    (
        lambda: xgboost.train(
            {"objective": "binary:logitraw"}, xgboost.DMatrix(buyers()[NUMBERS], in_classes(0, 1)), 3
        ),
        {"kind": "classification"},
        publish_xgboost,
        "and probabilities from 0 to 1: end it with a sigmoid or a softmax",
    ),
    (
        lambda: xgb("regression").fit(buyers()[NUMBERS], spent()),
        {"kind": "classification"},
        publish_xgboost,
        'it gives no probabilities: its card needs kind="regression"',
    ),
]


@pytest.mark.parametrize(("made", "said", "publish", "words"), REFUSED)
def test_what_cannot_be_published_is_one_line(
    store: Any, made: Callable[[], Any], said: dict[str, Any], publish: Any, words: str
) -> None:
    targets = {"multiclass": (0, 1, 2), "classification": (0, 1)}.get(said.get("kind", ""))
    values = np.c_[spent(), spent()] if "names" in said else spent()
    held_out = (buyers(), values if targets is None else in_classes(*targets))
    with pytest.raises(PublishingError) as refused:
        publish(made(), card(**{"features": Buyer, **said}), held_out)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
