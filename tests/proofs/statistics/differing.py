"""Experiments on two versions that differ on 8.7 % of requests: what comparing only there saves, and costs.

A user makes 1 to 3 requests with a taste of their own. What is taken away is a second answer here and there:
none of the treatment's, and of the control's as many as the world says.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.differing import answered_by_both, differing_spread
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sample_size import SampleSize, Spread, sample_size
from ekiben.experiments.statistics.sequential import JUDGED_FROM
from tests.proofs.statistics.peeking import ALPHA, misses
from tests.proofs.statistics.populations import Floats

SHARE = 0.087
MISSING = 0.05
MORE_USERS = 30
_MEAN, _STD, _TASTE = 29.0, 50.0, 10.0
_REQUESTS = (1, 2, 3)
_GAIN = 20.0  # on each differing request
TRUTH = float(np.mean(_REQUESTS)) * SHARE * _GAIN
POWER = 0.8


@dataclass(frozen=True)
class DifferingSeen:
    """Of so many experiments: how often the effect was found with the planned users, and the truth missed."""

    experiments: int
    found: int
    found_ordinarily: int
    missed: dict[tuple[int, float], int]  # by how many times the planned users, and the share that is missing


def plans() -> tuple[SampleSize, SampleSize]:
    """The users for the effect on differing requests, and for the same effect on all requests."""
    requests = float(np.mean(_REQUESTS))
    variance = requests * _STD**2 + float(np.mean(np.square(_REQUESTS))) * _TASTE**2
    variance += float(np.var(_REQUESTS)) * _MEAN**2
    ordinary = Spread(float(np.sqrt(variance)))
    where = differing_spread(ordinary.std, requests * _MEAN, SHARE, requests, TRUTH)
    one, other = (sample_size(TRUTH, each, (1, 1), alpha=ALPHA, power=POWER) for each in (where, ordinary))
    return one, other


def look_where_differing(seed: int, experiments: int = 1000, looks: int = 100) -> DifferingSeen:
    """Every look of every experiment, by the formulas of a report."""
    rng = np.random.default_rng((seed, 4))
    users = plans()[0].users
    found = ordinarily = 0
    missed: dict[tuple[int, float], int] = {}
    for times in (1, MORE_USERS):
        for missing in (0.0, MISSING):
            missed[times, missing] = 0
            for _ in range(experiments):
                control = _variant(rng, times * users // 2, 0.0, missing, looks)
                treatment = _variant(rng, times * users // 2, _GAIN, 0.0, looks)
                missed[times, missing] += _leaves_out(control[0], treatment[0], TRUTH)
                if times == 1 and not missing:
                    found += _leaves_out(control[0], treatment[0], 0.0)
                    ordinarily += _leaves_out(control[1], treatment[1], 0.0)
    return DifferingSeen(experiments, found, ordinarily, missed)


def _leaves_out(control: Sums, treatment: Sums, value: float) -> bool:
    """Whether the interval leaves the value out at any look. It needs at least z² = 2 log(1/alpha)."""
    errors = np.hypot(control.errors, treatment.errors)
    distances = np.abs(treatment.means - control.means - value)
    far = distances >= np.sqrt(2 * log(1 / ALPHA)) * errors
    looks = np.flatnonzero(far & (errors > 0) & (control.n >= JUDGED_FROM))
    for look in sorted(looks, key=lambda look: -distances[look] / errors[look]):
        pair = (effects.mean(each.moments(int(look))) for each in (control, treatment))
        if misses(effects.effect(*pair, ALPHA).interval, value):
            return True
    return False


@dataclass(frozen=True)
class Sums:
    """The sums of a variant's users at each look."""

    n: Floats
    x: Floats
    xx: Floats
    share: Floats  # of requests with both answers

    @property
    def means(self) -> Floats:
        means: Floats = self.x / self.n / self.share
        return means

    @property
    def errors(self) -> Floats:
        errors: Floats = np.sqrt((self.xx / self.n - (self.x / self.n) ** 2) / (self.n - 1)) / self.share
        return errors

    def moments(self, look: int) -> Moments:
        """As a report has them."""
        found = Moments(int(self.n[look]), float(self.x[look]), float(self.xx[look]))
        return answered_by_both(found, float(self.share[look]))


def _variant(
    rng: np.random.Generator, users: int, gain: float, missing: float, looks: int
) -> tuple[Sums, Sums]:
    """Of differing requests with both answers, and of all requests."""
    requests = rng.integers(_REQUESTS[0], _REQUESTS[-1] + 1, users)
    made = np.arange(_REQUESTS[-1])[:, None] < requests
    differs = made & (rng.random(made.shape, dtype=np.float32) < SHARE)
    both = made & (rng.random(made.shape, dtype=np.float32) >= missing) if missing else made
    taste = np.float32(_TASTE) * rng.standard_normal(users, dtype=np.float32)
    value = np.float32(_STD) * rng.standard_normal(made.shape, dtype=np.float32)
    value += taste + np.float32(_MEAN) + np.float32(gain) * differs
    ends = np.linspace(0, users, looks + 1).astype(int)[1:]

    def until(values: Floats) -> Floats:
        sums: Floats = np.add.reduceat(values.astype(float), np.append(0, ends[:-1])).cumsum()
        return sums

    share = until(both.sum(0)) / until(requests)
    where, total = (value * (differs & both)).sum(0), (value * made).sum(0)
    return (
        Sums(ends, until(where), until(where**2), share),
        Sums(ends, until(total), until(total**2), np.ones(looks)),
    )
