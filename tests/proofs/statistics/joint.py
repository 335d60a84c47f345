"""Joint power: experiments with guardrails of no true effect, at the users that the plan gives for 80 %.

A promotion needs all at one look: the deciding metric is better, and every guardrail holds. Metrics of one
user are independent or share a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np

from ekiben.experiments.judging.states import hold_alpha, metric_state
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.joint_size import Condition, JointSize, joint_size
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sample_size import Spread, proportion
from tests.proofs.statistics.peeking import ALPHA

POWER = 0.8
LOOKS = 100
_MEAN, _STD = 10.0, 15.0


@dataclass(frozen=True)
class Guarded:
    """The deciding metric is normal and has an `effect`; guardrails are shares or normal, with margins. All
    are of the same users, and share the part `common` of what differs between them.
    """

    name: str
    effect: float
    margins: tuple[float, ...]  # of guardrails like the deciding metric, in its unit
    rates: tuple[tuple[float, float], ...] = ()  # of guardrails that are shares: the rate and the margin
    common: float = 0.0
    share: float = 0.5

    @property
    def plan(self) -> JointSize:
        return _plan(self)


@cache
def _plan(world: Guarded) -> JointSize:
    holds = hold_alpha(ALPHA, 1)
    conditions = [Condition("deciding", world.effect, Spread(_STD), ALPHA)]
    conditions += [
        Condition(f"guardrail {place}", margin, Spread(_STD), holds)
        for place, margin in enumerate(world.margins)
    ]
    conditions += [
        Condition(f"rate {place}", margin, proportion(rate), holds)
        for place, (rate, margin) in enumerate(world.rates)
    ]
    return joint_size(conditions, (1 - world.share, world.share), power=POWER)


WORLDS = (
    Guarded("1 guardrail, as hard", 1.5, (1.4,)),
    Guarded("1 guardrail, a 2 % rate with a margin of 20 %", 1.5, (), ((0.02, 0.004),)),
    Guarded("1 guardrail, as hard", 1.5, (1.4,), common=0.5),
    Guarded("1 guardrail, as hard", 1.5, (1.4,), share=0.2),
    Guarded("5 guardrails, as hard", 1.5, (1.4,) * 5),
    Guarded("5 guardrails, as hard", 1.5, (1.4,) * 5, common=0.5),
    Guarded(
        "5 guardrails, those of requests among them",
        1.5,
        (1.4, 2.0),
        ((0.005, 0.01), (0.01, 0.02), (0.02, 0.05)),
    ),
    Guarded("5 guardrails, as hard", 1.5, (1.4,) * 5, share=0.2),
)


@dataclass(frozen=True)
class JointSeen:
    """Of each world the share of experiments that were promoted at one of the looks."""

    experiments: int
    promoted: dict[Guarded, float]


def look_at_joint(seed: int, experiments: int = 1000, worlds: Sequence[Guarded] = WORLDS) -> JointSeen:
    """Simulate and look. The experiments of each world draw from the same seeds."""
    promoted = {}
    for world in worlds:
        drawn = (np.random.default_rng((seed, 4, 0, each)) for each in range(experiments))
        promoted[world] = sum(_promoted(world, rng) for rng in drawn) / experiments
    return JointSeen(experiments, promoted)


def _promoted(world: Guarded, rng: np.random.Generator) -> bool:
    """Whether all passes at one of the looks. The last are tried first: most experiments pass there."""
    control, treatment = (_sums(world, rng, arm) for arm in (0, 1))
    return any(_passes(world, control[look], treatment[look]) for look in reversed(range(LOOKS)))


def _sums(world: Guarded, rng: np.random.Generator, arm: int) -> list[list[Moments]]:
    """At each look the moments of each metric in the control (0) or the treatment (1). Sums over normal users
    are drawn as sums: a normal one, and for the squares around it a chi-square.
    """
    step = max(round(world.plan.size.users / LOOKS * (world.share if arm else 1 - world.share)), 2)
    count = 1 + len(world.margins)
    shared = rng.normal(0, 1, (LOOKS, 1))
    own = rng.normal(0, 1, (LOOKS, count))
    mean = _MEAN + _STD * (sqrt(world.common) * shared + sqrt(1 - world.common) * own) / sqrt(step)
    mean[:, 0] += world.effect * arm
    squares = _STD**2 * rng.chisquare(step - 1, (LOOKS, count)) + step * mean**2
    ones = rng.binomial(step, [rate for rate, _ in world.rates], (LOOKS, len(world.rates)))
    n = step * np.arange(1, LOOKS + 1)
    x = np.concatenate([step * mean, ones], 1).cumsum(0)
    xx = np.concatenate([squares, ones], 1).cumsum(0)
    return [
        [Moments(users, *pair) for pair in zip(*rows, strict=True)]
        for users, *rows in zip(n.tolist(), x.tolist(), xx.tolist(), strict=True)
    ]


def _passes(world: Guarded, controls: list[Moments], treatments: list[Moments]) -> bool:
    margins = (None, *world.margins, *(margin for _, margin in world.rates))
    for place, (control, treatment, margin) in enumerate(zip(controls, treatments, margins, strict=True)):
        share = place > len(world.margins)
        estimate = effects.proportion if share else effects.mean
        known = effects.effect(estimate(control), estimate(treatment), ALPHA, world.plan.size.users)
        users = min(control.n, treatment.n)
        if margin is None:
            passes = metric_state(Role.DECIDES, "higher", known, None, None, users) is State.BETTER
        else:
            better, hold_at = "lower" if share else "higher", hold_alpha(ALPHA, 1)
            state = metric_state(
                Role.GUARDRAIL, better, known, None, None, users, max_worse_by=margin, hold_at=hold_at
            )
            passes = state is State.HOLDS
        if not passes:
            return False
    return True
