"""Segments and days of first exposure: how often either is called in experiments without any."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from ekiben.control.analysis.days import CUTS_DAYS, DAY_S, fading
from ekiben.control.analysis.metrics import Bucket
from ekiben.experiments.document import Better
from ekiben.experiments.kinds.of_users import Mean
from ekiben.experiments.statistics.e_values import e_bh, e_value
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM, confidence_sequence
from tests.proofs.statistics.peeking import ALPHA, misses
from tests.proofs.statistics.populations import Floats

SHARES = (0.3, 0.2, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, *(0.02,) * 4, *(0.01,) * 6)
METRICS = 3
DAYS = 30
_STEP = 200  # users of each variant between two looks
_NOVELTY = (3, 4.0, -0.5)  # so many days with the first gain, then the second; 15 between users


@dataclass(frozen=True)
class SegmentsSeen:
    """In how many experiments something was called at any look."""

    experiments: int
    called: int  # any segment, by e-BH
    uncorrected: int  # any segment, by its own interval
    fading: int  # an effect that lasts
    found: int  # one of novelty


def look_at_segments(seed: int, experiments: int = 1000, looks: int = 100) -> SegmentsSeen:
    """A/A experiments by segment, and by day those of an effect that lasts and of one that does not."""
    rng = np.random.default_rng((seed, 4))
    called = uncorrected = lasting = novelty = 0
    for _ in range(experiments):
        effects, errors, users = _by_segment(rng, looks)
        called += _any(effects, errors, users, corrected=True)
        uncorrected += _any(effects, errors, users, corrected=False)
        lasting += _fades(rng, np.full(DAYS, 1.0))
        days, first, later = _NOVELTY
        novelty += _fades(rng, np.where(np.arange(DAYS) < days, first, later))
    return SegmentsSeen(experiments, called, uncorrected, lasting, novelty)


def _by_segment(rng: np.random.Generator, looks: int) -> tuple[Floats, Floats, Floats]:
    """Effects, standard errors and users (look, comparison). The metrics of a user are correlated (0.3). Sums
    of normal users are drawn as sums: a normal one, and for the squares around it a chi-square.
    """
    step = np.rint(_STEP * np.array(SHARES))[None, :, None, None]
    shape = (looks, len(SHARES), METRICS, 2)
    shared = rng.normal(0, 1, (looks, len(SHARES), 1, 2))
    mean = (np.sqrt(0.3) * shared + np.sqrt(0.7) * rng.normal(0, 1, shape)) / np.sqrt(step)
    squares = rng.chisquare(step - 1, shape) + step * mean**2
    n = step * np.arange(1, looks + 1)[:, None, None, None]
    means = (step * mean).cumsum(0) / n
    variances = (squares.cumsum(0) - n * means**2) / (n - 1) / n
    effects = means[..., 1] - means[..., 0]
    errors = np.sqrt(variances.sum(3))
    users = np.broadcast_to(2 * n[..., 0], effects.shape)
    return effects.reshape(looks, -1), errors.reshape(looks, -1), users.reshape(looks, -1)


def _any(effects: Floats, errors: Floats, users: Floats, *, corrected: bool) -> bool:
    """Whether anything is called at any look: both ways need at least z² = 2 log(1/level)."""
    count = len(SHARES) * METRICS
    known = users >= 2 * JUDGED_FROM
    for look in np.flatnonzero((known & ((effects / errors) ** 2 >= 2 * log(1 / ALPHA))).any(1)):
        rows = zip(*(each[look].tolist() for each in (effects, errors, users, known)), strict=True)
        if corrected:
            values = [e_value(*row, ALPHA / count) if judged else 1.0 for *row, judged in rows]
            if any(e_bh(values, ALPHA)):
                return True
        elif any(judged and misses(confidence_sequence(*row, ALPHA), 0.0) for *row, judged in rows):
            return True
    return False


def _fades(rng: np.random.Generator, gains: Floats) -> bool:
    """Whether an effect with this gain on each day is said to fade, at any of two looks a day."""
    step, looks = _STEP, 2 * len(gains)
    gain = np.repeat(gains, 2)[:, None] * np.array([0.0, 1.0])
    mean = rng.normal(gain, 15 / np.sqrt(step))
    squares = 15**2 * rng.chisquare(step - 1, mean.shape) + step * mean**2
    difference = mean[:, 1] - mean[:, 0]
    for look in range(2, looks + 1):
        if any(_may_fade(difference[:look], 2 * cut, step) for cut in CUTS_DAYS if 2 * cut < look):
            moments = {
                Bucket(variant, half * DAY_S / 2, (half + 1) * DAY_S / 2, looks * DAY_S): Moments(
                    step, step * float(mean[half, variant]), float(squares[half, variant])
                )
                for half in range(look)
                for variant in (0, 1)
            }
            if fading(Mean(), moments, 1, Better.HIGHER, ALPHA) is not None:
                return True
    return False


def _may_fade(difference: Floats, cut: int, step: int) -> bool:
    """What is cheap to see: each side's interval is at least sqrt(2 log(1/alpha)) standard errors wide."""
    errors = sum(15 * np.sqrt(2 / (step * count)) for count in (cut, len(difference) - cut))
    fall = difference[:cut].mean() - difference[cut:].mean()
    return bool(fall > 0.9 * errors * np.sqrt(2 * log(2 * len(CUTS_DAYS) / ALPHA)))
