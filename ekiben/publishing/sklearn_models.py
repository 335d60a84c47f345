"""Publishing a fitted scikit-learn model: compiled to ONNX, or as it is where it has no ONNX that is alike.

Either way the file is what is scored on the held-out rows, and it must answer as the model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import onnxruntime
import sklearn
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from ekiben.publishing.answers import Floats, difference
from ekiben.publishing.card import ModelCard
from ekiben.publishing.compiling import CannotConvert, compile_model, reason_of
from ekiben.publishing.fitted import Original, Scored, score, score_onnx
from ekiben.publishing.held_out import check_fields, some
from ekiben.publishing.skops_files import write_skops
from ekiben.publishing.store import Published, Servable
from ekiben.serving.models.onnx_model import FILE as ONNX_FILE
from ekiben.serving.models.skops_io import loads
from ekiben.serving.models.skops_model import FILE as SKOPS_FILE
from ekiben.serving.models.skops_model import TRUSTED, SkopsModel

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE: Final = 1e-6


def publish_sklearn(
    model: Any, card: ModelCard, held_out: tuple[Any, Any] | None = None, *, quiet: bool = False
) -> Published:
    """Publish a fitted scikit-learn model, to be served by ONNX Runtime or by scikit-learn itself.

    `model` takes a DataFrame whose columns are fields of `card.features` (all, or some), or the texts of the
    one field that is a text. `held_out` are rows that it was not trained on, and their targets.

    It is compiled to ONNX where that answers alike: within 1e-6, and for a regression within 1e-6 of the
    largest value. It is served from skops otherwise, and a note says why. What was published is printed
    unless `quiet`. Raises `PublishingError` for what cannot be served.
    """
    model = getattr(model, "best_estimator_", model)  # of a search over parameters
    library = type(last_step(model)).__module__.partition(".")[0]
    if library in ("xgboost", "lightgbm"):
        raise card.refused(f"it is a model of {library}: use publish_{library}")
    original = original_of(card, model)
    inputs = original.inputs
    scored = score(card, original, held_out)
    framework = f"scikit-learn {sklearn.__version__}"
    try:
        content = compile_model(card.label, model, inputs, card.fields)
        scores = score_onnx(content, inputs, scored, card.kind, TOLERANCE)
    except CannotConvert as error:
        cannot = f"{type(last_step(model)).__name__} does not convert to ONNX: {error}"
        try:
            content, scores = _natively(card, model, inputs, scored)
        except CannotConvert as also:
            raise card.refused(f"{cannot}; and scikit-learn cannot serve it: {also}") from also
        servable = Servable(
            files={SKOPS_FILE: content},
            framework=framework,
            served_as=f"skops (scikit-learn {sklearn.__version__})",
            inputs=inputs,
            answers=scored.answers,
            notes=[f"served natively by scikit-learn (skops): {cannot}"],
        )
        return scored.finish(card, servable, scores, quiet=quiet)
    beside, notes = {}, []
    try:
        beside[SKOPS_FILE] = write_skops(model)
    except CannotConvert as error:
        notes.append(f"the model of scikit-learn is not stored beside its ONNX: {error}")
    servable = Servable(
        files={ONNX_FILE: content},
        framework=framework,
        served_as=f"onnx (onnxruntime {onnxruntime.__version__})",
        inputs=inputs,
        answers=scored.answers,
        beside=beside,
        notes=notes,
    )
    return scored.finish(card, servable, scores, quiet=quiet)


def last_step(model: Any) -> Any:
    """The model at the end of a pipeline, or the model itself."""
    return model.steps[-1][1] if hasattr(model, "steps") else model


def original_of(card: ModelCard, model: Any) -> Original:
    """A fitted model of scikit-learn. Raises `PublishingError` for what is none that its card stands for."""
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise card.refused("the model is not fitted: call fit before publishing") from None
    except TypeError:
        raise card.refused(
            f"a {type(model).__name__} is no model of scikit-learn: publish_torch and publish_onnx take "
            "others"
        ) from None
    if not hasattr(model, "predict"):
        raise card.refused(f"a {type(last_step(model)).__name__} predicts nothing: end with a model")
    inputs, classes = _inputs_of(card, model), getattr(model, "classes_", None)
    if card.kind == "regression":
        predict = model.predict
    elif hasattr(model, "predict_proba"):
        predict = model.predict_proba
        if classes is None:
            raise card.refused('it has no classes: its card needs kind="regression"')
    else:
        raise card.refused(
            "it gives no probabilities (predict_proba): use a classifier that does, or wrap it in "
            "CalibratedClassifierCV"
        )
    by_name = hasattr(model, "feature_names_in_")

    def compute(frame: pd.DataFrame) -> Any:
        return predict(frame if by_name else frame.iloc[:, 0].tolist())

    return Original(inputs, compute, classes)


def _inputs_of(card: ModelCard, model: Any) -> list[str]:
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        if [*card.fields.values()] == ["text"]:
            return [*card.fields]
        raise card.refused(
            "the model was not fitted on named columns: fit it on a DataFrame whose columns are the features"
        )
    inputs = [str(name) for name in names]
    check_fields(card, inputs)
    if lists := [name for name in inputs if card.fields[name] in ("numbers", "tensor")]:
        raise card.refused(
            f"scikit-learn takes numbers, categories and texts, and {some(lists)} is none of them: declare a "
            "number for each element, or publish the model as ONNX"
        )
    return inputs


def _natively(card: ModelCard, model: Any, inputs: Sequence[str], scored: Scored) -> tuple[bytes, Floats]:
    """The model as skops, and the scores that it gives when it is loaded as its service does.

    Raises `CannotConvert`.
    """
    content = write_skops(model)
    kinds = {name: card.fields[name] for name in inputs}
    try:
        with threadpool_limits():  # the end gives back those that a served model takes
            served = SkopsModel(loads(content, trusted=sorted(TRUSTED)), kinds)
            scores = scored.answers.take(served.scores(scored.rows))
    except Exception as error:  # whatever a user's model raises on a category that is a string, or missing
        raise CannotConvert(f"{reason_of(error)} (a category is a string, and NaN where missing)") from error
    if worse := difference(scored.expected, scores, card.kind, TOLERANCE):
        raise CannotConvert(f"loaded again {worse} (missing categories must be NaN where it is trained)")
    return content, scores
