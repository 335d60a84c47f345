"""What users do wrong with a model of scikit-learn: each is one line that says how to fix it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from ekiben.publishing import PublishingError, publish_sklearn
from ekiben.publishing.store import check_size
from ekiben.serving.features import Features, category, number, numbers
from ekiben.serving.store import LatestModel
from tests.ekiben.publishing.patients import NAMES, card, in_classes, rows, values

ROOT = Path(__file__).parents[3]

Case = tuple[Any, dict[str, Any], Any]  # a model, what its card says, the held-out rows and targets
CASES: list[tuple[Callable[[], Case], str]] = []


def refused_with(words: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def note(case: Callable[[], Case]) -> Callable[[], Case]:
        CASES.append((case, words))
        return case

    return note


class Shop(Features):
    shop: str = category("")


def regression() -> Any:
    return Ridge().fit(rows(), values())


def classifier(*names: Any) -> Any:
    return LogisticRegression(max_iter=5000).fit(rows(), in_classes(*names))


# The card


@refused_with("the name 'my model' must be made of a-z, 0-9, _, . and -: choose another")
def a_name_with_a_space() -> Case:
    return regression(), {"name": "my model"}, (rows(), values())


@refused_with("is longer than 63 characters: choose a shorter name")
def a_name_that_is_too_long() -> Case:
    return regression(), {"name": "a" * 40, "version": "b" * 40}, (rows(), values())


@refused_with("kind must be one of regression, classification, multiclass, not 'ranking'")
def a_kind_that_is_none() -> Case:
    return regression(), {"kind": "ranking"}, (rows(), values())


@refused_with("features must be a class of Features")
def features_that_are_a_list() -> Case:
    return regression(), {"features": NAMES}, (rows(), values())


@refused_with("Plain.age needs one of number(…)")
def features_that_are_not_described() -> Case:
    class Plain(Features):
        age: float

    return regression(), {"features": Plain}, (rows(), values())


@refused_with("threshold is a probability from 0 to 1, not 50")
def a_threshold_in_percent() -> Case:
    return classifier(0, 1), {"kind": "classification", "threshold": 50}, (rows(), in_classes(0, 1))


@refused_with('classes is for kind="multiclass", and the kind is "regression": leave it out')
def classes_of_a_regression() -> Case:
    return regression(), {"classes": ["a", "b"]}, (rows(), values())


@refused_with("owner must be a text, not None")
def an_owner_that_is_none() -> Case:
    return regression(), {"owner": None}, (rows(), values())


@refused_with("more_metrics must be finite numbers, and pinball is nan: leave it out")
def a_metric_that_is_no_number() -> Case:
    return regression(), {"more_metrics": {"pinball": float("nan")}}, (rows(), values())


@refused_with('give its card kind="classification"')
def a_classifier_as_a_regression() -> Case:
    return classifier(0, 1), {}, (rows(), in_classes(0, 1))


@refused_with('it has no classes: its card needs kind="regression"')
def a_clustering_as_a_classification() -> Case:
    class Clusters(KMeans):  # type: ignore[misc]
        predict_proba = KMeans.transform

    model = Clusters(2, n_init=1).fit(rows())
    return model, {"kind": "classification"}, (rows(), in_classes(0, 1))


# Classes


@refused_with(
    "its classes are 'no', 'yes': say in the card which one the score is the probability of, such as"
)
def classes_that_are_words() -> Case:
    return classifier("no", "yes"), {"kind": "classification"}, (rows(), in_classes("no", "yes"))


@refused_with("positive='maybe' is none of its classes 'no', 'yes'")
def a_positive_class_that_it_does_not_have() -> Case:
    said = {"kind": "classification", "positive": "maybe"}
    return classifier("no", "yes"), said, (rows(), in_classes("no", "yes"))


@refused_with("its classes are 'high', 'low', 'middle', and a classification has two: give its card kind=")
def three_classes_as_two() -> Case:
    names = ("low", "middle", "high")
    return classifier(*names), {"kind": "classification"}, (rows(), in_classes(*names))


@refused_with(
    "its classes are high, low, middle and the card's are low, middle, high: list these, in this order"
)
def classes_in_another_order() -> Case:
    names = ("low", "middle", "high")
    return classifier(*names), {"kind": "multiclass", "classes": names}, (rows(), in_classes(*names))


@refused_with(
    "it gives no probabilities (predict_proba): use a classifier that does, or wrap it in Calibrated"
)
def no_probabilities() -> Case:
    model = LinearSVC().fit(rows(), in_classes(0, 1))
    return model, {"kind": "classification"}, (rows(), in_classes(0, 1))


@refused_with("it predicts 2 classes at once: publish a model for each")
def several_classes_at_once() -> Case:
    both = np.c_[in_classes(0, 1), in_classes(0, 1)]
    return KNeighborsClassifier().fit(rows(), both), {"kind": "classification"}, (rows(), in_classes(0, 1))


# The model


@refused_with("the model is not fitted: call fit before publishing")
def not_fitted() -> Case:
    return make_pipeline(StandardScaler(), Ridge()), {}, (rows(), values())


@refused_with(
    "the model was not fitted on named columns: fit it on a DataFrame whose columns are the features"
)
def fitted_on_an_array() -> Case:
    return Ridge().fit(rows().to_numpy(), values()), {}, (rows(), values())


@refused_with("a function is no model of scikit-learn: publish_torch and publish_onnx take others")
def a_function() -> Case:
    return regression, {}, (rows(), values())


@refused_with("a PCA predicts nothing: end with a model")
def a_pipeline_without_a_model() -> Case:
    return make_pipeline(StandardScaler(), PCA()).fit(rows()), {}, (rows(), values())


@refused_with("Patient lacks s1: add a field of that name for each, or train without")
def a_column_that_the_features_lack() -> Case:
    more = rows().assign(s1=1.0)
    return Ridge().fit(more, values()), {}, (more, values())


@refused_with("it holds a lambda, which no service can load: use a function of numpy")
def a_lambda() -> Case:
    model = make_pipeline(FunctionTransformer(lambda given: given + 1), Ridge())
    return model.fit(rows(), values()), {}, (rows(), values())


@refused_with("skops does not trust posix.getpid: use what scikit-learn itself brings")
def a_type_that_is_not_trusted() -> Case:
    model = make_pipeline(FunctionTransformer(), Ridge()).fit(rows(), values())
    model.steps[0][1].inverse_func = os.getpid
    model.steps[0][1].func = np.abs
    return model, {}, (rows(), values())


@refused_with("it gives 2 values a row: name each in the card, such as names=('day_1', 'day_2', …)")
def two_values_without_names() -> Case:
    two = np.c_[values(), values()]
    return Ridge().fit(rows(), two), {}, (rows(), two)


@refused_with("it gives one value a row and the card names 2: leave names out")
def one_value_with_two_names() -> Case:
    return regression(), {"names": ["a", "b"]}, (rows(), values())


@refused_with(
    "it splits on categories of pandas, and a request has strings: encode them in a ColumnTransformer"
)
def categories_of_pandas_without_an_encoder() -> Case:
    frame = pd.DataFrame({"shop": pd.Categorical(["a", "b", "c"] * 10)})
    model = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2).fit(frame, values()[:30])
    return model, {"features": Shop}, (frame, values()[:30])


# The held-out rows


@refused_with("held_out must be a pair: held_out=(rows, targets)")
def nothing_held_out() -> Case:
    return regression(), {}, None


@refused_with("held_out must be a pair: held_out=(rows, targets)")
def rows_without_targets() -> Case:
    return regression(), {}, rows()


@refused_with("there are no held-out rows: keep some that it is not trained on")
def no_rows() -> Case:
    return regression(), {}, (rows()[:0], values()[:0])


@refused_with("the held-out rows have the column age twice: rename one")
def a_column_twice() -> Case:
    return regression(), {}, (pd.concat([rows(), rows()[["age"]]], axis=1), values())


@refused_with("the held-out rows and targets have one index in two orders: sort one by the other's")
def rows_in_another_order_than_their_targets() -> Case:
    return regression(), {}, (rows().sample(frac=1, random_state=1), values())


@refused_with("the held-out rows lack bp: give them every column")
def a_column_too_few() -> Case:
    return regression(), {}, (rows()[["age", "bmi"]], values())


@refused_with(
    "the held-out rows are a ndarray: give a DataFrame whose columns are the features, or a list of"
)
def rows_that_are_an_array() -> Case:
    return regression(), {}, (rows().to_numpy(), values())


@refused_with(
    "bmi is missing in held-out row 3, and Patient.bmi refuses that (Input should be a valid number)"
)
def a_value_that_is_missing() -> Case:
    held_out = rows()
    held_out.loc[3, "bmi"] = np.nan
    return regression(), {}, (held_out, values())


@refused_with("rows without bmi, which Careless allows to be missing: Input X contains NaN")
def a_feature_that_may_be_missing_and_a_model_that_fails_on_it() -> Case:
    class Careless(Features):
        age: float = number(0, 120, "years", "age")
        bmi: float | None = number(10, 80, "kg/m²", "body mass index", missing=True)
        bp: float = number(20, 250, "mmHg", "average blood pressure")

    return regression(), {"features": Careless}, (rows(), values())


def with_shops(shops: Any, **options: Any) -> tuple[Any, pd.DataFrame]:
    frame = pd.DataFrame({"shop": shops})
    encoder = make_column_transformer((OneHotEncoder(**options), ["shop"]))
    return make_pipeline(encoder, Ridge()).fit(frame, values()[: len(frame)]), frame


@refused_with("shop is 0 in held-out row 0, and Shop.shop refuses that (Input should be a valid string)")
def a_category_of_integers() -> Case:
    model, frame = with_shops([0, 1, 2] * 10)
    return model, {"features": Shop}, (frame, values()[:30])


@refused_with("shop is 'b' in held-out row 1, and Counted.shop refuses that (Input should be a valid number)")
def text_in_a_column_of_objects() -> Case:
    class Counted(Features):
        shop: float = number(0, 9, "", "")

    model, frame = with_shops(np.array(["b", "b", "c"] * 10, dtype=object))
    frame = pd.DataFrame({"shop": np.array([1, *frame["shop"][1:]], dtype=object)})
    model.steps[0][1].transformers_[0][1].handle_unknown = "ignore"
    return model, {"features": Counted}, (frame, values()[:30])


@refused_with("it cannot score the held-out rows: Found unknown categories ['new'] in column 0")
def a_category_that_is_new() -> Case:
    model, frame = with_shops(["a", "b", "c"] * 10)
    return model, {"features": Shop}, (frame.replace("a", "new"), values()[:30])


@refused_with("scikit-learn takes numbers, categories and texts, and days is none of them")
def a_list_of_numbers() -> Case:
    class Daily(Features):
        days: list[float] = numbers(0, 1, "", "")

    frame = pd.DataFrame({"days": [[0.0, 1.0], [1.0, 1.0]] * 5})
    counting = make_column_transformer((CountVectorizer(analyzer=np.asarray), "days"))
    model = make_pipeline(counting, Ridge()).fit(frame, values()[:10])
    return model, {"features": Daily}, (frame, values()[:10])


# The held-out targets


@refused_with("there are 442 held-out rows and targets of shape (5,), not (442,): give one each")
def fewer_targets_than_rows() -> Case:
    return regression(), {}, (rows(), values()[:5])


@refused_with("some held-out targets are missing: leave these rows out")
def a_target_that_is_missing() -> Case:
    targets = values()
    targets[3] = np.nan
    return regression(), {}, (rows(), targets)


@refused_with("the held-out targets of a regression must be finite numbers, not object: convert them")
def targets_that_are_words() -> Case:
    return regression(), {}, (rows(), np.array(["a"] * len(rows()), dtype=object))


@refused_with(
    "the held-out targets hold 'no', 'yes', none of its classes 0, 1: give the targets that it was trained"
)
def targets_of_other_classes() -> Case:
    return classifier(0, 1), {"kind": "classification"}, (rows(), in_classes("no", "yes"))


@refused_with("all held-out targets are 0: hold out rows of every class (stratify)")
def one_class_in_the_held_out_rows() -> Case:
    return classifier(0, 1), {"kind": "classification"}, (rows(), np.zeros(len(rows()), dtype=int))


@pytest.mark.parametrize(("case", "words"), CASES, ids=[case.__name__ for case, _ in CASES])
def test_what_cannot_be_published_is_one_line_that_says_how_to_fix_it(
    store: Path, case: Callable[[], Case], words: str
) -> None:
    model, said, held_out = case()
    with pytest.raises(PublishingError) as refused:
        publish_sklearn(model, card(**said), held_out)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert LatestModel("diabetes_v1").stored is None


def test_categories_of_pandas_are_served_as_their_names(store: Path) -> None:
    model, frame = with_shops(pd.Categorical(["a", "b", "c"] * 10))
    assert publish_sklearn(model, card(features=Shop), (frame, values()[:30])).is_new


def test_categories_without_an_encoder_for_columns_are_served_by_scikit_learn(store: Path) -> None:
    frame = pd.DataFrame({"shop": ["a", "b", "c"] * 10})
    model = make_pipeline(OrdinalEncoder(), Ridge()).fit(frame, values()[:30])
    published = publish_sklearn(model, card(features=Shop), (frame, values()[:30]))
    assert "for categories it must begin with a ColumnTransformer" in published.notes[0]


def test_a_model_that_is_too_large_is_refused_with_both_sizes() -> None:
    with pytest.raises(
        PublishingError, match=r"shop v1: its files have 3 MiB, more than 2: use fewer or shall"
    ):
        check_size("shop v1", {"model.onnx": b"0" * 3 * 1024**2}, most=2 * 1024**2)


def test_a_training_script_whose_model_is_not_published_ends_with_one_line() -> None:
    script = "from ekiben.publishing import PublishingError\nraise PublishingError('it is too large')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (1, "not published: it is too large\n")


def test_importing_it_loads_nothing_that_a_model_might_not_need() -> None:
    script = """
import sys
import ekiben.publishing
slow = {"torch", "skops", "sklearn", "onnx", "skl2onnx", "onnxruntime", "pandas", "numpy", "bentoml"}
print(*(slow & {*sys.modules}))
from ekiben.publishing import ModelCard, publish_sklearn
print(*({"torch", "xgboost", "lightgbm", "onnxmltools"} & {*sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "\n\n"


def test_a_name_that_it_does_not_have_is_an_attribute_error() -> None:
    import ekiben.publishing

    with pytest.raises(AttributeError, match="publish_pickle"):
        ekiben.publishing.publish_pickle  # noqa: B018
