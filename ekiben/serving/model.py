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
        """One score a row, in order; at least one row. The same row scores the same in any company."""
        ...


Loader = Callable[[Stored], Model]
