"""What users do wrong with held-out rows and targets: each is one line that says how to fix it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from ekiben.publishing import publish_sklearn
from ekiben.serving.features import Features, number, numbers
from tests.ekiben.publishing.patients import card, in_classes, rows, values
from tests.ekiben.publishing.wrong import Case, Cases, Shop, check_refused, classifier, regression

ROOT = Path(__file__).parents[3]

CASES = Cases()
refused_with = CASES.refused_with


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


@refused_with("some held-out targets are missing: leave these rows out")
def a_target_that_is_missing_as_pandas_has_it() -> Case:
    return regression(), {}, (rows(), values().astype("Int64").mask(values() > 200).astype(object))


@refused_with("age is missing in held-out row 0, and Patient.age refuses that")
def a_value_that_is_missing_as_pandas_has_it() -> Case:
    model = HistGradientBoostingRegressor(max_iter=2).fit(rows(), values())
    return model, {}, (rows().astype("Float64").mask(rows() < 70), values())


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


@CASES.as_parameters()
def test_what_cannot_be_published_is_one_line_that_says_how_to_fix_it(
    store: Path, case: Callable[[], Case], words: str
) -> None:
    check_refused(case, words)


def test_categories_of_pandas_are_served_as_their_names(store: Path) -> None:
    model, frame = with_shops(pd.Categorical(["a", "b", "c"] * 10))
    assert publish_sklearn(model, card(features=Shop), (frame, values()[:30])).is_new
