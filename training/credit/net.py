"""Training credit v3's network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ekiben.serving.models.model import Row
from services.credit.net import CreditNet, NetModel, Shape
from training.credit.data import CATEGORIES, NUMBERS

SEED: Final = 2026
EPOCHS: Final = 20
BATCH_ROWS: Final = 128


@torch.random.fork_rng()
def train_net(rows: Sequence[Row], bad: NDArray[np.int64]) -> CreditNet:
    """A network trained on `rows` (as JSON has them) and their targets (1 for bad); the same every time."""
    torch.manual_seed(SEED)
    categories = tuple(
        (name, tuple(sorted({row[name] for row in rows if row[name] is not None}))) for name in CATEGORIES
    )
    net = CreditNet(Shape(NUMBERS, categories, embedding=4, hidden=(64, 32)))
    numbers, codes = NetModel(net).tensors(rows)
    _fit_preprocessing(net, numbers)
    target = torch.from_numpy(bad).float()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    loss = torch.nn.BCEWithLogitsLoss()
    net.train()
    for _ in range(EPOCHS):
        for batch in torch.split(torch.randperm(len(target)), BATCH_ROWS):
            optimizer.zero_grad()
            loss(net(numbers[batch], _forget_some(codes[batch], net.shape)), target[batch]).backward()
            optimizer.step()
        schedule.step()
    return net.eval()


def _fit_preprocessing(net: CreditNet, numbers: torch.Tensor) -> None:
    values = numbers.numpy()
    medians = np.nanmedian(values, axis=0)
    filled = np.log1p(np.where(np.isnan(values), medians, values).astype(np.float64))
    net.medians.copy_(torch.from_numpy(medians))
    net.means.copy_(torch.from_numpy(filled.mean(axis=0)))
    net.scales.copy_(torch.from_numpy(filled.std(axis=0)))


def _forget_some(codes: torch.Tensor, shape: Shape) -> torch.Tensor:
    """One category in fifty as if unknown, or the embedding for unknown ones would stay what it began as."""
    widths = [len(known) + 1 for _, known in shape.categories]
    unknown = torch.tensor(np.cumsum([0, *widths[:-1]]))
    return torch.where(torch.rand(codes.shape) < 0.02, unknown, codes)
