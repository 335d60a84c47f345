"""Publishing a fitted scikit-learn model: compiled to ONNX, or as it is where it has no ONNX that is alike.

Either way the file is what is scored on the held-out rows, and it must answer as the model does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime
import sklearn
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_info, threadpool_limits

from ekiben.publishing import answers as answering
from ekiben.publishing.answers import Answers, Floats, difference
from ekiben.publishing.card import ModelCard
from ekiben.publishing.compiling import CannotConvert, compile_model, reason_of
from ekiben.publishing.held_out import (
    check_fields,
    digest_of,
    frame_of,
    json_rows,
    optional_numbers,
    pair,
    refused_notes,
    some,
)
from ekiben.publishing.skops_files import write_skops
from ekiben.publishing.store import Published, Servable, store
from ekiben.serving.model import Row
from ekiben.serving.onnx_model import FILE as ONNX_FILE
from ekiben.serving.onnx_model import OnnxModel
from ekiben.serving.skops_io import loads
from ekiben.serving.skops_model import FILE as SKOPS_FILE
from ekiben.serving.skops_model import TRUSTED, SkopsModel

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE: Final = 1e-6

_PROBED: Final = 20  # held-out rows that are tried once more for each feature that may be missing


def publish_sklearn(
    model: Any, card: ModelCard, held_out: tuple[Any, Any], *, quiet: bool = False
) -> Published:
    """Publish a fitted scikit-learn model, to be served by ONNX Runtime or by scikit-learn itself.

    `model` takes a DataFrame whose columns are fields of `card.features` (all, or some), or the texts of the
    one field that is a text. `held_out` are rows that it was not trained on, and their targets.

    It is compiled to ONNX where that answers alike: within 1e-6, and for a regression within 1e-6 of the
    largest value. It is served from skops otherwise, and a note says why. What was published is printed
    unless `quiet`. Raises `PublishingError` for what cannot be served.
    """
    model = getattr(model, "best_estimator_", model)  # of a search over parameters
    rows, targets = pair(card, held_out)
    inputs = _inputs_of(card, model)
    frame = frame_of(card, rows, inputs)
    records = json_rows(card, frame)
    computed = _compute(card, model, frame)
    answers = _answers_of(card, model, computed, targets)
    actual = answering.check_targets(card, answers, targets, len(records))
    expected = answers.take(computed)
    answering.check_scores(card, answers, expected, len(records))
    probes, probed = _probe(card, model, frame, records, answers)
    servable, scores = _servable(
        card, model, inputs, answers, [*records, *probes], np.concatenate([expected, *probed])
    )
    measured = answering.measure(card, answers, actual, scores[: len(records)])
    notes = refused_notes(card, records)
    return store(card, servable.noting(notes), measured, digest_of(card, rows, targets), quiet)


def _inputs_of(card: ModelCard, model: Any) -> list[str]:
    """The features that the model takes, in its order. Raises `PublishingError`."""
    last = model.steps[-1][1] if hasattr(model, "steps") else model
    library = type(last).__module__.partition(".")[0]
    if library in ("xgboost", "lightgbm"):
        raise card.refused(f"it is a model of {library}: use publish_{library}")
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise card.refused("the model is not fitted: call fit before publishing") from None
    except TypeError:
        raise card.refused(
            f"a {type(model).__name__} is no model of scikit-learn: publish_torch and "
            "publish_onnx take others"
        ) from None
    if not hasattr(model, "predict"):
        raise card.refused(f"a {type(last).__name__} predicts nothing: end with a model")
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        inputs = [str(name) for name in names]
        check_fields(card, inputs)
        if lists := [name for name in inputs if card.fields[name] in ("numbers", "tensor")]:
            raise card.refused(
                f"scikit-learn takes numbers, categories and texts, and {some(lists)} is none of them: "
                "declare a number for each element, or publish the model as ONNX"
            )
        return inputs
    texts = [name for name, kind in card.fields.items() if kind == "text"]
    if len(card.fields) == 1 and texts:
        return texts
    raise card.refused(
        "the model was not fitted on named columns: fit it on a DataFrame whose columns are the features"
    )


def _compute(card: ModelCard, model: Any, frame: pd.DataFrame, what: str = "the held-out rows") -> Any:
    """What the model gives these rows: probabilities of each class, or values. Raises `PublishingError`."""
    given: Any = frame if hasattr(model, "feature_names_in_") else frame.iloc[:, 0].tolist()
    if card.kind != "regression" and not hasattr(model, "predict_proba"):
        raise card.refused(
            "it gives no probabilities (predict_proba): use a classifier that does, or wrap "
            "it in CalibratedClassifierCV"
        )
    try:
        computed = model.predict(given) if card.kind == "regression" else model.predict_proba(given)
    except Exception as error:  # whatever a user's model raises on rows that it was not trained on
        raise card.refused(
            f"it cannot score {what}: {reason_of(error)} (handle missing values and unknown "
            "categories inside the pipeline)"
        ) from error
    if isinstance(computed, list):
        raise card.refused(f"it predicts {len(computed)} classes at once: publish a model for each")
    return computed


def _answers_of(card: ModelCard, model: Any, computed: Any, targets: Any) -> Answers:
    classes = getattr(model, "classes_", None)
    if classes is not None:
        return answering.of_classes(card, classes)
    if card.kind != "regression":
        raise card.refused('it has no classes: its card needs kind="regression"')
    return answering.of_columns(card, 1 if computed.ndim == 1 else computed.shape[1], targets)


def _probe(
    card: ModelCard, model: Any, frame: pd.DataFrame, records: Sequence[Row], answers: Answers
) -> tuple[list[Row], list[Floats]]:
    """Some of the rows with each number missing that may be, and what the model gives them.

    Raises `PublishingError` when it fails on these, for its service would.
    """
    rows: list[Row] = []
    expected: list[Floats] = []
    for name in optional_numbers(card, frame.columns):
        some_rows = frame.head(_PROBED).assign(**{name: np.nan})
        what = f"rows without {name}, which {card.features.__name__} allows to be missing"
        expected.append(answers.take(_compute(card, model, some_rows, what)))
        rows += [{**row, name: None} for row in records[:_PROBED]]
    return rows, expected


def _servable(
    card: ModelCard,
    model: Any,
    inputs: Sequence[str],
    answers: Answers,
    rows: Sequence[Row],
    expected: Floats,
) -> tuple[Servable, Floats]:
    """What serves the model, and the scores that it gives these rows. Raises `PublishingError`."""
    framework = f"scikit-learn {sklearn.__version__}"
    try:
        content, scores = _compiled(card, model, inputs, answers, rows, expected)
    except CannotConvert as error:
        cannot = f"{_name_of(model)} does not convert to ONNX: {error}"
    else:
        beside, notes = {}, []
        try:
            beside[SKOPS_FILE] = write_skops(model)
        except CannotConvert as error:
            notes.append(f"the model of scikit-learn is not stored beside its ONNX: {error}")
        served_as = f"onnx (onnxruntime {onnxruntime.__version__})"
        servable = Servable(
            files={ONNX_FILE: content},
            framework=framework,
            served_as=served_as,
            inputs=inputs,
            answers=answers,
            beside=beside,
            notes=notes,
        )
        return servable, scores
    try:
        content = write_skops(model)
        scores = _natively(card, content, inputs, answers, rows)
        if worse := difference(expected, scores, card.kind, TOLERANCE):
            raise CannotConvert(f"loaded again {worse} (missing categories must be NaN where it is trained)")
    except CannotConvert as error:
        raise card.refused(f"{cannot}; and scikit-learn cannot serve it: {error}") from error
    servable = Servable(
        files={SKOPS_FILE: content},
        framework=framework,
        served_as=f"skops (scikit-learn {sklearn.__version__})",
        inputs=inputs,
        answers=answers,
        notes=[f"served natively by scikit-learn (skops): {cannot}"],
    )
    return servable, scores


def _compiled(
    card: ModelCard,
    model: Any,
    inputs: Sequence[str],
    answers: Answers,
    rows: Sequence[Row],
    expected: Floats,
) -> tuple[bytes, Floats]:
    content = compile_model(card.label, model, inputs, card.fields)
    try:
        scores = answers.take(OnnxModel(content, inputs).scores(rows))
    except Exception as error:  # ONNX Runtime's own kinds of "cannot do that"
        raise CannotConvert(reason_of(error)) from error
    # It computes in 32 bits: a scaled value may fall on the other side of a tree's threshold.
    if worse := difference(expected, scores, card.kind, TOLERANCE):
        raise CannotConvert(worse)
    return content, scores


def _natively(
    card: ModelCard, content: bytes, inputs: Sequence[str], answers: Answers, rows: Sequence[Row]
) -> Floats:
    """What the file gives these rows when it is loaded as its service does. Raises `CannotConvert`."""
    kinds = {name: card.fields[name] for name in inputs}
    threads = {each["prefix"]: each["num_threads"] for each in threadpool_info()}
    try:
        with threadpool_limits(limits=threads):  # a service has one, and training may go on with more
            model = SkopsModel(loads(content, trusted=sorted(TRUSTED)), kinds)
            return answers.take(model.scores(rows))
    except Exception as error:  # whatever a user's model raises on a row with a category missing
        raise CannotConvert(reason_of(error)) from error


def _name_of(model: Any) -> str:
    return type(model.steps[-1][1] if hasattr(model, "steps") else model).__name__
