"""A version that always fails, one that fails as often as is just allowed, and the test between them."""

from __future__ import annotations

import numpy as np

from ekiben.experiments.statistics.broken import ITS_SHARE, broken_e_value
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from tests.proofs.statistics.counted import Counted
from tests.proofs.statistics.peeking import ALPHA

_MARGIN = 0.01
_LEVEL = ITS_SHARE * ALPHA / 5
"""The test's part of one of five guardrails'."""


def look_at_breaking(seed: int, experiments: int = 1000) -> list[Counted]:
    rng = np.random.default_rng((seed, 13))
    found = [
        Counted(
            f"fails in {100 * (rate + _MARGIN):g} %, the control in {100 * rate:g} %, 1 % is allowed: called "
            "broken at 5 %",
            np.mean([_called(rng, rate, rate + _MARGIN, ALPHA) for _ in range(experiments)]).item(),
            ALPHA,
            experiments,
        )
        for rate in (0.0, 0.02, 0.2, 0.5)
    ]
    for rate, users in ((1.0, 8), (0.5, 25), (0.2, 80)):
        called = np.mean([_called(rng, 0.01, rate, _LEVEL, users) for _ in range(experiments)]).item()
        what = f"fails in {100 * rate:g} %, the control in 1 %: violated by {users} users of the treatment"
        found.append(Counted(what, called, None, experiments))
    return found


def _called(
    rng: np.random.Generator, control: float, treatment: float, level: float, users: int = JUDGED_FROM
) -> bool:
    first, second = (rng.random(users) < rate for rate in (control, treatment))
    return broken_e_value(first.tolist(), second.tolist(), _MARGIN) * level >= 1
