"""The seam between the services and what computes: rows in, scores out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ekiben.serving.stored import Stored

Row = Mapping[str, Any]  # the fields of a validated `Features`; None is missing


class Model(Protocol):
    """A loaded version."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features it looks at."""
        ...

    @property
    def runtime(self) -> str:
        """What computes and in which release, such as `onnxruntime 1.31.1`."""
        ...

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """The scores of at least one row, in order, of shape (rows,), or (rows, outputs) for several classes
        or horizons. The same row scores the same in any company.
        """
        ...


Loader = Callable[[Stored], Model]


def scores_in(computed: NDArray[Any], column: int | None) -> NDArray[np.float64]:
    """The scores in what a model computed: shape (rows,) of the column, or all, (rows, outputs)."""
    if computed.ndim == 2 and column is not None:
        computed = computed[:, column]
    return computed.astype(np.float64, copy=False)
