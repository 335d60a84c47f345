"""Versions that serve from ONNX Runtime: a model that was compiled when it was published, or a file as it is.

`model.onnx` takes each feature as an input of its own, or all of them, numbers only, as one matrix whose
columns the metadata lists as `inputs`. A number is a column, (rows, 1) or (rows,), and NaN where it is
missing. A category or a text is a column of strings, empty where it is missing. Lists and tensors are an
input (rows, *shape).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ekiben.serving.models.model import Row, scores_in
from ekiben.serving.stored import ModelRefused, Stored

FILE: Final = "model.onnx"
MATRIX: Final = "features"
SCORES: Final = "probabilities"  # what skl2onnx calls the output of a classifier

_Type = type[np.generic]

_TEXT: Final = "tensor(string)"
_NUMBERS: Final[Mapping[str, _Type]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


class OnnxModel:
    """A loaded `model.onnx`, on one thread: calls take microseconds, and a service scales by replicas.

    `column` of the output is the score; None is all of them. `output` names the output that holds the scores:
    by default `probabilities`, or the first one. Raises `ModelRefused` for inputs that no feature can fill.
    """

    def __init__(
        self, content: bytes, inputs: Sequence[str], column: int | None = None, output: str | None = None
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        declared = self._session.get_inputs()
        types = {i.name: _type_of(i.name, i.type) for i in declared if i.type != _TEXT}
        self._texts = tuple(i.name for i in declared if i.type == _TEXT)
        self._matrix: tuple[str, ...] = ()
        self._lists: dict[str, _Type] = {}
        self._numbers: dict[_Type, list[str]] = {}
        if len(types) == len(declared) == 1 and declared[0].name not in inputs:
            self._matrix = tuple(inputs)
            self._matrix_name, self._matrix_type = next(iter(types.items()))
        else:
            shapes = {i.name: i.shape for i in declared}
            for name, kind in types.items():
                if len(shapes[name]) > 2 or (len(shapes[name]) == 2 and shapes[name][1] != 1):
                    self._lists[name] = kind
                else:
                    self._numbers.setdefault(kind, []).append(name)
        self._flat = tuple(i.name for i in declared if len(i.shape) == 1)
        self._output = [_output_of([each.name for each in self._session.get_outputs()], output)]
        self._column = column

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features it looks at."""
        numbers = (name for names in self._numbers.values() for name in names)
        return (*numbers, *self._texts, *self._matrix, *self._lists)

    @property
    def runtime(self) -> str:
        """ONNX Runtime and its release."""
        return f"onnxruntime {onnxruntime.__version__}"

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """The probability of the positive class or the predicted value of each row, or all of its outputs."""
        if not self._lists:
            return self._run(rows)
        # Lists of several lengths are no tensor, and filled up they would score otherwise.
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, row in enumerate(rows):
            alike.setdefault(tuple(len(row[name]) for name in self._lists), []).append(place)
        if len(alike) == 1:
            return self._run(rows)
        order = np.concatenate([np.array(places) for places in alike.values()])
        scores = np.concatenate([self._run([rows[place] for place in places]) for places in alike.values()])
        return scores[np.argsort(order)]

    def _run(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        feed: dict[str, NDArray[Any]] = {}
        if self._matrix:
            feed[self._matrix_name] = _table(rows, self._matrix, self._matrix_type)
        for kind, names in self._numbers.items():
            columns = np.ascontiguousarray(_table(rows, names, kind).T).reshape(len(names), -1, 1)
            feed.update(zip(names, columns, strict=True))
        for name in self._texts:
            feed[name] = np.array([row[name] or "" for row in rows], dtype=object).reshape(-1, 1)
        for name, kind in self._lists.items():
            feed[name] = np.array([row[name] for row in rows], dtype=kind)
        for name in self._flat:
            feed[name] = feed[name][:, 0]
        return scores_in(self._session.run(self._output, feed)[0], self._column)


def _type_of(name: str, kind: str) -> _Type:
    if kind not in _NUMBERS:
        raise ModelRefused(
            f"the input {name} of {FILE} is a {kind}, and features are {_TEXT}, {', '.join(_NUMBERS)}: "
            "put a Cast in front of it"
        )
    return _NUMBERS[kind]


def _output_of(names: Sequence[str], wanted: str | None) -> str:
    if wanted is not None and wanted not in names:
        raise ModelRefused(f"{FILE} has no output {wanted}: it has {', '.join(names)}")
    return wanted or (SCORES if SCORES in names else names[0])


def _table(rows: Sequence[Row], names: Sequence[str], kind: _Type) -> NDArray[Any]:
    """(rows, names) of this type; numpy makes NaN of None."""
    return np.array([[row[name] for name in names] for row in rows], dtype=kind)


def load_onnx(stored: Stored) -> OnnxModel:
    """Load the version in `stored`. Its metadata may name the output of the scores as `output`."""
    card = stored.card
    content = (stored.path / FILE).read_bytes()
    return OnnxModel(content, card.inputs, card.column, card.output)
