"""A treatment that is better, with guardrails beside it that it does not harm: how often it is promoted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ekiben.experiments.judging.states import hold_alpha, metric_state
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.statistics.effects import Estimate, effect
from tests.proofs.statistics.drawn import normal, shares
from tests.proofs.statistics.peeking import ALPHA
from tests.proofs.statistics.populations import Floats

LOOKED_AT = (20_000, 100_000)
"""Users of both variants: four times what the effect alone needs, and what one guardrail needs."""
_LOOKS = 100
_STEP = LOOKED_AT[-1] // _LOOKS // 2
_MEAN, _STD, _SIZE = 10.0, 15.0, 1.5
_RATE, _MAX_WORSE = 0.02, 0.2
_OF_REQUESTS = 3  # guardrails that every experiment has: alpha was divided by these too
_LEAST_SCORE, _LEAST_HOLDING = 2.44, 2.14  # standard errors that the intervals reach at the least


@dataclass(frozen=True)
class PromotionSeen:
    """In how many experiments it was promoted, by the users of `LOOKED_AT`."""

    guardrails: int
    experiments: int
    promoted: tuple[int, ...]
    divided: tuple[int, ...]  # were each guardrail's alpha divided by their number, and two-sided
    wrong: int  # of as many in which the first guardrail is at its margin, by the last look


def look_at_promotions(seed: int, experiments: int = 1000) -> list[PromotionSeen]:
    """Guardrails are shares of 2 % that may be worse by 20 % of that."""
    found = []
    for count in (1, 5):
        rng = np.random.default_rng((seed, 5, count))
        own, divided = hold_alpha(ALPHA, 1), ALPHA / (count + _OF_REQUESTS)
        harmless = [_experiment(rng, count, 0.0) for _ in range(experiments)]
        looks = [_promoted(each, own) for each in harmless]
        before = [_promoted(each, divided) for each in harmless]
        wrong = [_promoted(_experiment(rng, count, _RATE * _MAX_WORSE), own) for _ in range(experiments)]
        found.append(
            PromotionSeen(count, experiments, _by(looks), _by(before), sum(look < _LOOKS for look in wrong))
        )
    return found


def _by(looks: Sequence[int]) -> tuple[int, ...]:
    return tuple(sum((look + 1) * 2 * _STEP <= users for look in looks) for users in LOOKED_AT)


Experiment = tuple[Floats, Floats, Floats]


def _experiment(rng: np.random.Generator, guardrails: int, harm: float) -> Experiment:
    """Means and variances (variant, look) of what decides, and rates (variant, guardrail, look); `harm` is
    what the treatment adds to the first rate.
    """
    means, variances = zip(
        *(normal(rng, (_LOOKS,), _STEP, _MEAN + place * _SIZE, _STD) for place in range(2)), strict=True
    )
    rates = [shares(rng, (guardrails, _LOOKS), _STEP, _RATE) for _ in range(2)]
    if harm:
        rates[1][0] = shares(rng, (_LOOKS,), _STEP, _RATE + harm)
    return np.array(means), np.array(variances), np.array(rates)


def _promoted(experiment: Experiment, hold_at: float) -> int:
    """The first look at which it is better and all guardrails hold; `_LOOKS` where none is."""
    means, variances, rates = experiment
    users = _STEP * np.arange(1, _LOOKS + 1)
    scores = (means[1] - means[0]) / np.sqrt(variances.sum(0) / users)
    errors = np.sqrt((rates * (1 - rates)).sum(0) / users)
    holding = rates[1] - rates[0] + _LEAST_HOLDING * errors < _MAX_WORSE * rates[0]
    for look in np.flatnonzero((scores > _LEAST_SCORE) & holding.all(0)).tolist():
        n = int(users[look])
        decides = [
            Estimate(float(m), sqrt(v / n), n)
            for m, v in zip(means[:, look], variances[:, look], strict=True)
        ]
        known = effect(decides[0], decides[1], ALPHA)
        if metric_state(Role.DECIDES, "higher", known, None, None, n) is not State.BETTER:
            continue
        if all(_holds(*pair, n, hold_at) for pair in zip(*rates[:, :, look].tolist(), strict=True)):
            return look
    return _LOOKS


def _holds(control: float, treatment: float, users: int, hold_at: float) -> bool:
    pair = (
        Estimate(rate, sqrt(rate * (1 - rate) / (users - 1)), users, share=True)
        for rate in (control, treatment)
    )
    known = effect(*pair, ALPHA)
    state = metric_state(Role.GUARDRAIL, "lower", known, _MAX_WORSE, control, users, hold_at=hold_at)
    return state is State.HOLDS
