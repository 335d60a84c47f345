"""Versions that serve from ONNX Runtime: a scikit-learn pipeline, compiled when it was published.

`model.onnx` takes each feature as a column of its own, or all of them, numbers only, as one matrix `features`
whose columns the metadata lists as `inputs`. A missing number is NaN, a missing category the empty string.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ekiben.serving.model import Row
from ekiben.serving.stored import Stored

FILE: Final = "model.onnx"
MATRIX: Final = "features"
SCORES: Final = "probabilities"  # what skl2onnx calls the output of a classifier

_TEXT: Final = "tensor(string)"


class OnnxModel:
    """A loaded `model.onnx`, on one thread: calls take microseconds, and a service scales by replicas."""

    def __init__(self, content: bytes, inputs: Sequence[str], column: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        declared = self._session.get_inputs()
        self._numbers = tuple(i.name for i in declared if i.type != _TEXT and i.name != MATRIX)
        self._texts = tuple(i.name for i in declared if i.type == _TEXT)
        self._matrix = tuple(inputs) if any(i.name == MATRIX for i in declared) else ()
        names = [output.name for output in self._session.get_outputs()]
        self._output = [SCORES if SCORES in names else names[0]]
        self._column = column

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features it looks at."""
        return self._numbers + self._texts + self._matrix

    @property
    def runtime(self) -> str:
        """ONNX Runtime and its release."""
        return f"onnxruntime {onnxruntime.__version__}"

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """One score a row: the probability of the positive class, or the predicted value."""
        feed: dict[str, NDArray[Any]] = {}
        if self._matrix:
            feed[MATRIX] = _table(rows, self._matrix)
        if self._numbers:
            columns = np.ascontiguousarray(_table(rows, self._numbers).T)
            for name, column in zip(self._numbers, columns, strict=True):
                feed[name] = column.reshape(-1, 1)
        for name in self._texts:
            feed[name] = np.array([row[name] or "" for row in rows], dtype=object).reshape(-1, 1)
        scores: NDArray[Any] = self._session.run(self._output, feed)[0]
        return scores[:, self._column].astype(np.float64)


def _table(rows: Sequence[Row], names: Sequence[str]) -> NDArray[np.float32]:
    """(rows, names) of float32; numpy makes NaN of None."""
    return np.array([[row[name] for name in names] for row in rows], dtype=np.float32)


def load_onnx(stored: Stored) -> OnnxModel:
    """Load the version in `stored`."""
    metadata = stored.metadata
    return OnnxModel((stored.path / FILE).read_bytes(), metadata["inputs"], metadata["score_column"])
