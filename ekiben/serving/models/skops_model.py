"""Versions that serve from scikit-learn itself, in `model.skops`: what does not compile to ONNX.

A call takes milliseconds where ONNX takes microseconds, for one row or for 64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import sklearn
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ekiben.serving.models.model import Row, scores_in
from ekiben.serving.models.skops_io import get_untrusted_types, loads
from ekiben.serving.stored import ModelRefused, Stored

FILE: Final = "model.skops"

# Beyond what skops trusts by itself: data that fitted models of scikit-learn hold, and pure functions.
TRUSTED: Final = frozenset(
    {
        "numpy.dtype",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.impute._iterative.IterativeImputer",
        "sklearn.impute._iterative._ImputerTriplet",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
    }
)

_SERVED: Final = ("number", "category", "text")


class SkopsModel:
    """A fitted scikit-learn model, on one thread. `kinds` are its inputs, in order, and the kind of each.

    It gets a DataFrame, as `pandas.read_csv` makes one: numbers are float64, categories str, and NaN where
    missing; a missing text is empty.
    Its probabilities are the scores, and what it predicts where it has none. `column` of these is the score;
    None is all of them. Raises `ModelRefused` for lists and tensors.
    """

    def __init__(self, model: Any, kinds: Mapping[str, str], column: int | None = None) -> None:
        if other := [name for name, kind in kinds.items() if kind not in _SERVED]:
            raise ModelRefused(
                f"scikit-learn takes numbers, categories and texts, and {', '.join(other)} is none of them: "
                "declare a number for each element, or publish the model as ONNX"
            )
        threadpool_limits(1)  # OpenMP starts more threads than one row has work for
        self._kinds = dict(kinds)
        self._compute = model.predict_proba if hasattr(model, "predict_proba") else model.predict
        # One that was fitted on an array, or on a list of texts, knows no names.
        self._by_name = hasattr(model, "feature_names_in_")
        self._column = column

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features it looks at."""
        return tuple(self._kinds)

    @property
    def runtime(self) -> str:
        """scikit-learn and its release."""
        return f"scikit-learn {sklearn.__version__}"

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """The probabilities or the predicted values of each row."""
        frame = pd.DataFrame({name: _column(rows, name, kind) for name, kind in self._kinds.items()})
        given: Any = frame
        if not self._by_name:
            given = frame.to_numpy()
            given = given[:, 0] if [*self._kinds.values()] == ["text"] else given
        return scores_in(np.asarray(self._compute(given)), self._column)


def _column(rows: Sequence[Row], name: str, kind: str) -> Any:
    values = [row[name] for row in rows]
    if kind == "number":
        return np.array(values, dtype=np.float64)
    missing = "" if kind == "text" else np.nan
    # With its type given, or a batch in which it is missing everywhere would have another one.
    return pd.Series([missing if value is None else value for value in values], dtype=object)


def load_skops(stored: Stored) -> SkopsModel:
    """Load the version in `stored`. Raises `ModelRefused` for types that are not trusted."""
    content = (stored.path / FILE).read_bytes()
    untrusted = sorted(set(get_untrusted_types(data=content)) - TRUSTED)
    if untrusted:
        raise ModelRefused(f"it holds {', '.join(untrusted)}, which {FILE} is not trusted with")
    card = stored.card
    fields = card.features["properties"]
    kinds = {name: fields[name]["kind"] for name in card.inputs}
    return SkopsModel(loads(content, trusted=sorted(TRUSTED)), kinds, card.column)
