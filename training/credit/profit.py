"""The metric of credit's own: what the decisions of a version earn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.credit.schema import BREAK_EVEN, GAIN_OF_GOOD, LOSS_OF_BAD

Floats = NDArray[np.float64]


def profit_per_applicant(bad: NDArray[np.int64], probability: Floats, amount: Floats) -> float:
    """What the decisions earn, in the unit of `amount`, spread over all applicants, declined ones too."""
    earned = np.where(bad == 1, -LOSS_OF_BAD, GAIN_OF_GOOD) * amount
    return float(np.mean(np.where(probability < BREAK_EVEN, earned, 0.0)))
