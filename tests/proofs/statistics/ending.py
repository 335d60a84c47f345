"""Experiments without an effect that matters: how many end, and by when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ekiben.experiments.judging.ends import nothing_found
from ekiben.experiments.reports.report import Decision
from ekiben.experiments.statistics.effects import Estimate, effect
from ekiben.experiments.statistics.sample_size import Spread, sample_size
from tests.experiments.reports import metric, report
from tests.proofs.statistics.drawn import normal
from tests.proofs.statistics.peeking import ALPHA

STD, MATTERS = 15.0, 1.5
_PLANNED, _MORE, _TWICE = 100, 140, 200  # looks, each after 1 % of the planned users
_LEAST_SCORE = 2.44  # an interval at ALPHA reaches at least sqrt(2 log(1/ALPHA)) standard errors


@dataclass(frozen=True)
class EndSeen:
    """In how many experiments it ended: by which users, so many, and the share that is claimed."""

    name: str
    experiments: int
    planned: int
    claimed: tuple[tuple[str, int, float], ...]
    wrong: int  # of as many whose effect is as large as matters


def look_at_ends(seed: int, experiments: int = 1000) -> list[EndSeen]:
    """At two splits, with the users that the plan asks for when the effect is as large as matters."""
    found = []
    for place, share in enumerate((0.5, 0.2)):
        rng = np.random.default_rng((seed, 4, place))
        size = sample_size(MATTERS, Spread(STD), (1 - share, share), alpha=ALPHA)
        steps = (size.users_by_variant[0] // _PLANNED, size.users_by_variant[1] // _PLANNED)
        none = _ended(rng, experiments, steps, 0.0)
        claimed = (
            ("the plan", sum(look < _PLANNED for look, _ in none), 0.8),
            ("1.4 times the plan", sum(look < _MORE for _, look in none), 0.8),
            ("twice the plan", sum(look < _TWICE for _, look in none), 0.97),
        )
        wrong = sum(look < _TWICE for look, _ in _ended(rng, experiments, steps, MATTERS))
        name = f"mean, normal {100 - 100 * share:g}/{100 * share:g}"
        found.append(EndSeen(name, experiments, size.users, claimed, wrong))
    return found


def _ended(
    rng: np.random.Generator, experiments: int, steps: tuple[int, int], size: float
) -> list[tuple[int, int]]:
    """Of each experiment the first looks that say not better (or no difference), and no difference."""
    shape = (experiments, _TWICE)
    means, variances = zip(
        *(normal(rng, shape, step, place * size, STD) for place, step in enumerate(steps)), strict=True
    )
    users = [step * np.arange(1, _TWICE + 1) for step in steps]
    errors = [np.sqrt(variance / n) for variance, n in zip(variances, users, strict=True)]
    possible = means[1] - means[0] + _LEAST_SCORE * np.hypot(*errors) < MATTERS
    found = []
    for place in range(experiments):
        looks = [_TWICE, _TWICE]
        for look in np.flatnonzero(possible[place]).tolist():
            estimates = (
                Estimate(float(mean[place, look]), float(error[place, look]), int(n[look]))
                for mean, error, n in zip(means, errors, users, strict=True)
            )
            known = metric("x", {}, effects={"treatment": effect(*estimates, ALPHA)}, min_effect=MATTERS)
            verdict = nothing_found(report(known), known)
            if verdict is not None:
                looks[0] = min(looks[0], look)
                if verdict.decision is Decision.NO_DIFFERENCE:
                    looks[1] = look
                    break
        found.append((looks[0], looks[1]))
    return found
