"""Publishing models of XGBoost and LightGBM, converted to ONNX by onnxmltools.

ONNX adds the trees up in 32 bits, so scores agree to 1e-5 (of a regression's largest value). A number that
falls on the other side of a tree's threshold in 32 bits changes a score by far more: such a model is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import onnxruntime

from ekiben.publishing.card import ModelCard
from ekiben.publishing.compiling import CannotConvert, compile_model, reason_of, same_bytes
from ekiben.publishing.fitted import Original, Scored, score, score_onnx
from ekiben.publishing.held_out import check_fields, some
from ekiben.publishing.sklearn_models import last_step, original_of
from ekiben.publishing.store import Published, Servable
from ekiben.serving.models.onnx_model import FILE, MATRIX

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE: Final = 1e-5

_OPSETS: Final = {"": 18, "ai.onnx.ml": 3}  # what the converters of onnxmltools write
_TWO_OPTIONS: Final = {"nocl": [True, False], "zipmap": [True, False, "columns"]}


def publish_xgboost(
    model: Any, card: ModelCard, held_out: tuple[Any, Any] | None = None, *, quiet: bool = False
) -> Published:
    """Publish an `XGBClassifier`, an `XGBRegressor`, a `Booster`, or a scikit-learn pipeline that ends so.

    It was trained on named columns, which are fields of `card.features`. A missing number is NaN, as it was
    in training. A multiclass card of a `Booster` lists its `classes`. ONNX Runtime serves it and must agree
    within 1e-5 on the held-out rows, for a regression within 1e-5 of the largest value. What was published
    is printed unless `quiet`. Raises `PublishingError`.
    """
    library = _library(card, "xgboost")
    model = getattr(model, "best_estimator_", model)  # of a search over parameters
    if hasattr(model, "steps"):
        return _publish_pipeline(model, card, held_out, library, quiet)
    if isinstance(model, library.XGBModel):
        booster = _fitted(card, model.get_booster)
        if booster.attr("best_iteration") is not None:
            booster = booster[: booster.best_iteration + 1]  # it was stopped early, and predicts with these
        inputs = _inputs(card, booster.feature_names, "c" in (booster.feature_types or ()))
        original = Original(inputs, _predicting(card, model), getattr(model, "classes_", None))
    elif isinstance(model, library.Booster):
        booster = model
        inputs = _inputs(card, booster.feature_names, "c" in (booster.feature_types or ()))
        original = Original(inputs, lambda frame: booster.predict(library.DMatrix(frame)))
    else:
        raise card.refused(f"a {type(model).__name__} is no model of xgboost: publish_sklearn takes others")

    def convert(types: Any) -> Any:
        nameless = booster.copy()
        nameless.feature_names = None  # onnxmltools knows f0, f1, …
        return import_module("onnxmltools").convert_xgboost(nameless, card.label, types)

    return _publish(card, original, held_out, convert, f"xgboost {library.__version__}", quiet)


def publish_lightgbm(
    model: Any, card: ModelCard, held_out: tuple[Any, Any] | None = None, *, quiet: bool = False
) -> Published:
    """Publish an `LGBMClassifier`, an `LGBMRegressor`, a `Booster`, or a scikit-learn pipeline that ends so.

    It was trained on named columns, which are fields of `card.features`. A missing number is NaN, as it was
    in training. A multiclass card of a `Booster` lists its `classes`. ONNX Runtime serves it and must agree
    within 1e-5 on the held-out rows, for a regression within 1e-5 of the largest value. What was published
    is printed unless `quiet`. Raises `PublishingError`.
    """
    library = _library(card, "lightgbm")
    model = getattr(model, "best_estimator_", model)  # of a search over parameters
    if hasattr(model, "steps"):
        return _publish_pipeline(model, card, held_out, library, quiet)
    if isinstance(model, library.LGBMModel):
        booster = _fitted(card, lambda: model.booster_)
        inputs = _inputs(card, booster.feature_name(), bool(booster.pandas_categorical))
        original = Original(inputs, _predicting(card, model), getattr(model, "classes_", None))
    elif isinstance(model, library.Booster):
        booster = model
        inputs = _inputs(card, booster.feature_name(), bool(booster.pandas_categorical))
        original = Original(inputs, booster.predict)
    else:
        raise card.refused(f"a {type(model).__name__} is no model of lightgbm: publish_sklearn takes others")

    def convert(types: Any) -> Any:
        return import_module("onnxmltools").convert_lightgbm(booster, card.label, types, zipmap=False)

    return _publish(card, original, held_out, convert, f"lightgbm {library.__version__}", quiet)


def _publish(
    card: ModelCard,
    original: Original,
    held_out: Any,
    convert: Callable[[Any], Any],
    framework: str,
    quiet: bool,
) -> Published:
    from onnxmltools.convert.common.data_types import FloatTensorType

    scored = score(card, original, held_out)
    if scored.answers.names:
        raise card.refused(
            "it gives several values a row, which onnxmltools converts wrongly: publish a model for each"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = same_bytes(convert([(MATRIX, FloatTensorType([None, len(original.inputs)]))]))
    except Exception as error:  # onnxmltools' own kinds of "cannot do that"
        raise card.refused(f"onnxmltools cannot convert it: {reason_of(error)}") from error
    return _finish(card, content, original, scored, framework, quiet)


def _publish_pipeline(model: Any, card: ModelCard, held_out: Any, library: Any, quiet: bool) -> Published:
    """A pipeline of scikit-learn whose model is a booster."""
    name = library.__name__
    if not type(last_step(model)).__module__.startswith(f"{name}."):
        raise card.refused(f"its pipeline ends with a {type(last_step(model)).__name__}: use publish_sklearn")
    _register(library)
    original = original_of(card, model)
    scored = score(card, original, held_out)
    try:
        content = compile_model(card.label, model, original.inputs, card.fields, _OPSETS)
    except CannotConvert as error:
        raise card.refused(f"its pipeline does not convert to ONNX: {error}") from error
    return _finish(card, content, original, scored, f"{name} {library.__version__}", quiet)


def _finish(
    card: ModelCard, content: bytes, original: Original, scored: Scored, framework: str, quiet: bool
) -> Published:
    try:
        scores = score_onnx(content, original.inputs, scored, card.kind, TOLERANCE)
    except CannotConvert as error:
        raise card.refused(
            f"converted to ONNX {error} (train it on numbers rounded to 32 bits, rows.astype('float32'))"
        ) from error
    servable = Servable(
        files={FILE: content},
        framework=framework,
        served_as=f"onnx (onnxruntime {onnxruntime.__version__})",
        inputs=original.inputs,
        answers=scored.answers,
    )
    return scored.finish(card, servable, scores, quiet=quiet)


def _register(library: Any) -> None:
    """Say to skl2onnx how these models in a pipeline convert."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    if library.__name__ == "xgboost":
        made = import_module("onnxmltools.convert.xgboost.operator_converters.XGBoost").convert_xgboost
        pair = (library.XGBClassifier, library.XGBRegressor)
    else:
        made = import_module("onnxmltools.convert.lightgbm.operator_converters.LightGbm").convert_lightgbm
        pair = (library.LGBMClassifier, library.LGBMRegressor)
    classifier, regressor = pair
    update_registered_converter(
        classifier,
        classifier.__name__,
        shapes.calculate_linear_classifier_output_shapes,
        made,
        options=_TWO_OPTIONS,
    )
    update_registered_converter(
        regressor, regressor.__name__, shapes.calculate_linear_regressor_output_shapes, made
    )


def _library(card: ModelCard, name: str) -> Any:
    try:
        import_module("onnxmltools")
        return import_module(name)
    except ImportError as error:
        raise card.refused(
            f"publish_{name} needs {error.name}: pip install 'ekiben[publishing]' where it is trained"
        ) from error


def _fitted(card: ModelCard, booster: Callable[[], Any]) -> Any:
    try:
        return booster()
    except Exception as error:  # each library has its own NotFittedError
        raise card.refused("the model is not fitted: call fit before publishing") from error


def _inputs(card: ModelCard, names: Sequence[str] | None, splits_on_categories: bool) -> list[str]:
    """The columns of a booster, as features."""
    if splits_on_categories:
        raise card.refused(
            "it splits on categories of pandas, which ONNX cannot: encode them in a pipeline in front "
            "(OrdinalEncoder in a ColumnTransformer)"
        )
    if names is None or all(name == f"Column_{place}" for place, name in enumerate(names)):
        raise card.refused(
            "the model was not trained on named columns: train it on a DataFrame whose columns are "
            "the features"
        )
    check_fields(card, names)
    if other := [name for name in names if card.fields[name] != "number"]:
        raise card.refused(f"it takes numbers, and {some(other)} is none: declare number(…)")
    return list(names)


def _predicting(card: ModelCard, model: Any) -> Callable[[pd.DataFrame], Any]:
    if card.kind == "regression":
        predict: Callable[[pd.DataFrame], Any] = model.predict
        return predict
    if not hasattr(model, "predict_proba"):
        raise card.refused('it gives no probabilities: its card needs kind="regression"')
    probabilities: Callable[[pd.DataFrame], Any] = model.predict_proba
    return probabilities
