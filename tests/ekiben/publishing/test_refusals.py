"""What users do wrong with cards and models of scikit-learn: each is one line that says how to fix it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC

from ekiben.publishing import PublishingError, publish_sklearn
from ekiben.publishing.store import check_size
from ekiben.serving.features import Features
from tests.ekiben.publishing.patients import NAMES, card, in_classes, rows, values
from tests.ekiben.publishing.wrong import Case, Cases, Shop, check_refused, classifier, regression

ROOT = Path(__file__).parents[3]

CASES = Cases()
refused_with = CASES.refused_with


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


@refused_with(
    "its classes are 1, 2: say in the card which one the score is the probability of, such as positive=2"
)
def classes_that_are_one_and_two() -> Case:
    return classifier(1, 2), {"kind": "classification"}, (rows(), in_classes(1, 2))


@refused_with("its classes are 0, 1, 2 and the card's are 2, 1, 0: list the model's, in their order")
def integers_in_another_order() -> Case:
    said = {"kind": "multiclass", "classes": [2, 1, 0]}
    return classifier(0, 1, 2), said, (rows(), in_classes(0, 1, 2))


@refused_with("positive='maybe' is none of its classes 'no', 'yes'")
def a_positive_class_that_it_does_not_have() -> Case:
    said = {"kind": "classification", "positive": "maybe"}
    return classifier("no", "yes"), said, (rows(), in_classes("no", "yes"))


@refused_with("its classes are 'high', 'low', 'middle', and a classification has two: give its card kind=")
def three_classes_as_two() -> Case:
    names = ("low", "middle", "high")
    return classifier(*names), {"kind": "classification"}, (rows(), in_classes(*names))


@refused_with(
    "its classes are high, low, middle and the card's are low, middle, high: list the model's, in their order"
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


@CASES.as_parameters()
def test_what_cannot_be_published_is_one_line_that_says_how_to_fix_it(
    store: Path, case: Callable[[], Case], words: str
) -> None:
    check_refused(case, words)


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
