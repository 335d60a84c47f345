"""credit v3's network: numbers and embedded categories through two small layers, preprocessing included.

Served natively from torch. `model.safetensors` holds the weights, `model.json` what else rebuilds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from safetensors.torch import load_file

from ekiben.serving.models.model import Row
from ekiben.serving.models.torch_files import SHAPE_FILE, WEIGHTS_FILE
from ekiben.serving.stored import Stored

UNKNOWN: Final = 0  # the code of a missing category, and of one never seen in training


@dataclass(frozen=True, slots=True)
class Shape:
    """What the weights do not say, the content of `model.json`: the features in order, the known categories
    of each that has some, the widths of the layers.
    """

    numbers: tuple[str, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    embedding: int
    hidden: tuple[int, int]


class CreditNet(torch.nn.Module):
    """The network.

    `forward` takes numbers (rows, numbers) of float32 with NaN for missing, and codes (rows, categories) of
    int64 into one table of embeddings; it returns the log-odds of `bad`, (rows,). Missing numbers become the
    training median and set a flag of their own; all are standardized after log(1 + x).
    """

    medians: torch.Tensor
    means: torch.Tensor
    scales: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        numbers, (first, second) = len(shape.numbers), shape.hidden
        for name in ("medians", "means"):
            self.register_buffer(name, torch.zeros(numbers))
        self.register_buffer("scales", torch.ones(numbers))
        rows = sum(len(known) + 1 for _, known in shape.categories)
        self.embeddings = torch.nn.Embedding(rows, shape.embedding)
        width = 2 * numbers + shape.embedding * len(shape.categories)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(width, first),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.2),
            torch.nn.Linear(first, second),
            torch.nn.ReLU(),
            torch.nn.Linear(second, 1),
        )

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Log-odds of `bad`, (rows,)."""
        missing = torch.isnan(numbers)
        filled = torch.log1p(torch.where(missing, self.medians, numbers))
        standard = (filled - self.means) / self.scales
        embedded = self.embeddings(codes).flatten(1)
        odds: torch.Tensor = self.layers(torch.cat((standard, missing.to(standard.dtype), embedded), 1))
        return odds.squeeze(1)


class NetModel:
    """A network ready to serve, on one thread."""

    def __init__(self, net: CreditNet) -> None:
        torch.set_num_threads(1)
        self._net = net.eval()
        shape = net.shape
        self._numbers = shape.numbers
        self._codes: list[tuple[str, dict[str, int], int]] = []
        offset = 0
        for name, known in shape.categories:
            codes = {value: offset + code for code, value in enumerate(known, start=1)}
            self._codes.append((name, codes, offset + UNKNOWN))
            offset += len(known) + 1

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features it looks at."""
        return (*self._numbers, *(name for name, _, _ in self._codes))

    @property
    def runtime(self) -> str:
        """torch and its release."""
        return f"torch {torch.__version__}"

    def tensors(self, rows: Sequence[Row]) -> tuple[torch.Tensor, torch.Tensor]:
        """What `forward` takes, for these rows."""
        names, codes = self._numbers, self._codes
        numbers = np.array([[row[name] for name in names] for row in rows], dtype=np.float32)
        coded = np.array(
            [[known.get(row[name], unknown) for name, known, unknown in codes] for row in rows],
            dtype=np.int64,
        )
        return torch.from_numpy(numbers), torch.from_numpy(coded)

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """The probability of `bad` for each row."""
        with torch.inference_mode():
            scores: NDArray[np.float64] = torch.sigmoid(self._net(*self.tensors(rows))).double().numpy()
        return scores


def read_credit_net(folder: Path) -> NetModel:
    """The network in the files of `folder`."""
    net = CreditNet(TypeAdapter(Shape).validate_json((folder / SHAPE_FILE).read_bytes()))
    net.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return NetModel(net)


def load_credit_net(stored: Stored) -> NetModel:
    """Load the version in `stored`."""
    return read_credit_net(stored.path)
