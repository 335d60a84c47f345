"""Two versions on the same labelled predictions: how many users find which is better, and is it ever wrong?

v1 and v2 score each prediction with errors of their own around a quality that both see. In an A/B experiment
each version has other users. Here every labelled prediction has both scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Final

import numpy as np

from ekiben.experiments.reports.metric import State
from ekiben.experiments.statistics.boundary_crossing import crossing_probability
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.label_quality import AucSums, roc_auc
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.paired_quality import area_difference, paired_interval, paired_state
from ekiben.experiments.statistics.sample_size import Spread, sample_size
from tests.proofs.statistics.claims import Table, least, most, percent
from tests.proofs.statistics.labelled import Ints, auc_sums, placements
from tests.proofs.statistics.peeking import ALPHA, misses
from tests.proofs.statistics.populations import Bools, Floats

POWER: Final = 0.8
CHEAPER: Final = 15
"""An A/B experiment needs at least so many times the labelled users, for the ROC AUC."""
MORE: Final = 1.15
"""An area of few predictions is not quite a mean: so many times the users that a mean would need."""
SHARED: Final = 0.8
"""Standard deviation of the error that both versions make, who learned from the same data."""
ERRORS: Final = (0.35, 0.15)
"""Those of the errors that each makes alone, beside a quality of 1."""
_LOOKS: Final = 100
_EVERYBODY: Final = 200_000
_BINS: Final = 32


@dataclass(frozen=True)
class Pair:
    """`errors` of v1 and v2 beside a quality of 1: standard deviations."""

    errors: tuple[float, float]
    experiments: int = 1000


@dataclass
class PairSeen:
    """Numbers of experiments: v2 was called better, or worse, or an interval missed the truth."""

    experiments: int
    users: int
    ab_users: int
    better: int = 0
    worse: int = 0
    missed: int = 0


def difference_sums(served: Floats, shadow: Floats, labels: Bools, user: Ints) -> AucSums:
    """`AucSums` whose placements are the shadow's minus the served version's."""
    _, index = np.unique(user, return_inverse=True)
    away = placements(shadow, labels) - placements(served, labels)
    a, b = np.bincount(index, away * labels), np.bincount(index, away * ~labels)
    m, n = np.bincount(index, labels.astype(float)), np.bincount(index, (~labels).astype(float))
    return AucSums(
        users=len(a), users_positive=int((m > 0).sum()), users_negative=int((n > 0).sum()),
        m=int(m.sum()), n=int(n.sum()),
        **{
            name: float(value.sum())
            for name, value in {
                "a": a, "b": b, "aa": a * a, "bb": b * b, "ab": a * b, "am": a * m, "an": a * n,
                "bm": b * m, "bn": b * n, "mm": m * m, "nn": n * n, "mn": m * n,
            }.items()
        },
    )  # fmt: skip


def difference_moments(measure: str, served: Floats, shadow: Floats, labels: Bools, user: Ints) -> Moments:
    """The moments of a loss whose x are the shadow's minus the served version's."""
    _, index = np.unique(user, return_inverse=True)
    losses = [_loss(measure, scores, labels) for scores in (shadow, served)]
    x, y = np.bincount(index, losses[0] - losses[1]), np.bincount(index).astype(float)
    sums = (x.sum(), (x * x).sum(), y.sum(), (y * y).sum(), (x * y).sum())
    return Moments(len(x), *map(float, sums))


def _loss(measure: str, scores: Floats, labels: Bools) -> Floats:
    if measure == "brier":
        return np.asarray((scores - labels) ** 2)
    return np.asarray(((scores >= 0.5) == labels).astype(float))


def draw(rng: np.random.Generator, size: int, errors: tuple[float, float]) -> tuple[Ints, Ints, Bools]:
    """The bins of both versions' scores, and the labels."""
    quality, shared = rng.normal(0, 1, (2, size))
    good = rng.random(size) < 1 / (1 + np.exp(-1 - 2 * quality))
    binned = []
    for error in errors:
        seen = quality + SHARED * shared + rng.normal(0, error, size)
        seen /= sqrt(1 + SHARED**2 + error**2)
        binned.append(np.clip(((seen + 4) * _BINS / 8).astype(np.int64), 0, _BINS - 1))
    return binned[0], binned[1], good


def planned(seed: tuple[int, ...], errors: tuple[float, float]) -> tuple[int, int, float]:
    """The users with which the difference is found with `POWER`: on the same predictions, and in an A/B
    experiment. And the true difference.
    """
    served, shadow, good = draw(np.random.default_rng(seed), _EVERYBODY, errors)
    user = np.arange(_EVERYBODY)
    areas = [roc_auc(auc_sums(each.astype(float), good, user)) for each in (served, shadow)]
    known = area_difference([difference_sums(served.astype(float), shadow.astype(float), good, user)])
    assert areas[0] is not None
    assert areas[1] is not None
    assert known is not None
    stds = [each.std_error * sqrt(_EVERYBODY) for each in areas]
    apart = sample_size(known.value, Spread(*stds), (1, 1), alpha=ALPHA, power=POWER)
    drift = known.value / (known.std_error * sqrt(_EVERYBODY))
    users = 200
    while crossing_probability(drift, users, ALPHA) < POWER:
        users = ceil(users * 1.02)
    return ceil(MORE * users), apart.users, known.value


def follow(world: Pair, seed: tuple[int, ...], users: int, ab_users: int, truth: float) -> PairSeen:
    """Every experiment, at every look; one labelled prediction a user."""
    rng = np.random.default_rng(seed)
    seen = PairSeen(world.experiments, users, ab_users)
    for _ in range(world.experiments):
        happened: set[str] = set()
        for known in _looks(*draw(rng, users, world.errors)):
            state = paired_state(known, "higher", ALPHA)
            if state is not State.NO_DATA:
                happened |= {str(state)} & {"better", "worse"}
                if misses(paired_interval(known, ALPHA), truth):
                    happened.add("missed")
        for name in happened:
            setattr(seen, name, getattr(seen, name) + 1)
    return seen


def _looks(served: Ints, shadow: Ints, good: Bools) -> Iterator[Estimate | None]:
    """The difference of the areas at each look, from counts by both bins."""
    look = np.arange(len(good)) * _LOOKS // len(good)
    cell = (look * _BINS + served) * _BINS + shadow
    positive, negative = (
        np.bincount(cell[mask], minlength=_LOOKS * _BINS**2)
        .reshape(_LOOKS, _BINS, _BINS)
        .cumsum(0)
        .astype(float)
        for mask in (good, ~good)
    )
    m, n = positive.sum((1, 2)), negative.sum((1, 2))
    above, below = [], []  # placements by bin, of the served version and of the shadow
    for axis in (2, 1):
        of_positive, of_negative = positive.sum(axis), negative.sum(axis)
        above.append((of_negative.cumsum(1) - of_negative / 2) / np.maximum(n, 1)[:, None])
        below.append(1 - (of_positive.cumsum(1) - of_positive / 2) / np.maximum(m, 1)[:, None])
    up = above[1][:, None, :] - above[0][:, :, None]
    down = below[1][:, None, :] - below[0][:, :, None]
    a, b = (positive * up).sum((1, 2)), (negative * down).sum((1, 2))
    aa, bb = (positive * up**2).sum((1, 2)), (negative * down**2).sum((1, 2))
    for place in range(_LOOKS):
        yield area_difference([
            AucSums(
                users=int(m[place] + n[place]), users_positive=int(m[place]), users_negative=int(n[place]),
                m=int(m[place]), n=int(n[place]), a=a[place], b=b[place], aa=aa[place], bb=bb[place], ab=0.0,
                am=a[place], an=0.0, bm=0.0, bn=b[place], mm=m[place], nn=n[place], mn=0.0,
            )
        ])  # fmt: skip


WORLDS: Final = {
    "v2 is better by 0.009": Pair(ERRORS),
    "v2 is as good": Pair((ERRORS[0], ERRORS[0])),
}
"""What is simulated, by its name."""


def table(seed: int) -> Table:
    """Users to find the better version, and how often an equal one is called better or worse."""
    rows, broken = [], []
    users, ab_users, truth = planned((seed, 5), ERRORS)
    for place, (name, world) in enumerate(WORLDS.items()):
        differs = world.errors[0] != world.errors[1]
        seen = follow(world, (seed, 5, place), users, ab_users, truth if differs else 0.0)
        n = seen.experiments
        wrong = seen.worse if differs else seen.better + seen.worse
        holds = wrong / n <= most(ALPHA, n) and seen.missed / n <= most(ALPHA, n)
        claimed = f"called wrongly, missed ≤ {percent(most(ALPHA, n))}"
        if differs:
            holds &= seen.better / n >= least(POWER, n) and ab_users >= CHEAPER * users
            claimed += f", found ≥ {percent(least(POWER, n))}, A/B ≥ {CHEAPER} times"
        broken += [] if holds else [f"paired: {name}"]
        found = percent(seen.better / n) if differs else ""
        rows.append(
            (
                name,
                f"{users:,}",
                f"{ab_users:,} ({ab_users / users:.0f} times)",
                f"**{found}**" if found else "",
                f"**{percent(wrong / n)}**{'' if holds else ' ✗'}",
                percent(seen.missed / n),
                claimed,
            )
        )
    head = ("versions", "labelled users", "in an A/B experiment", "found", "called wrongly", "truth missed")
    return Table("paired", (*head, "claimed"), tuple(rows), tuple(broken))
