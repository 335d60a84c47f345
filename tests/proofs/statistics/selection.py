"""Labels that exist only for those whom a version approves: are shares called different in time?

Applicants have a latent quality, which decides the label. Each version scores it with an error, v2 with the
smaller one: it is better on everybody. A version approves its best share, and only the approved have a label.
Scores are rounded to bins, so that areas at every look follow from counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from ekiben.experiments.judging.states import metric_state
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.statistics.effects import Estimate, effect
from ekiben.experiments.statistics.label_quality import AucSums, roc_auc
from ekiben.experiments.statistics.shares_alike import ALIKE_ALPHA, alike_p_value
from tests.proofs.statistics.claims import Table, most, percent
from tests.proofs.statistics.labelled import Ints
from tests.proofs.statistics.peeking import ALPHA
from tests.proofs.statistics.populations import Floats

ERRORS = (0.9, 0.5)
"""Standard deviations of the versions' errors, beside a quality of 1. Areas on everybody: 0.763 and 0.823."""
_BINS = 64
_REACH = 5.0


@dataclass(frozen=True)
class Approving:
    """`shares` are what v1 and v2 approve; users are of both variants together."""

    shares: tuple[float, float]
    users: int = 20_000
    treated: float = 0.5
    experiments: int = 1000
    looks: int = 100

    @property
    def is_far(self) -> bool:
        """Whether no experiment may ever be judged by the label."""
        return abs(self.shares[0] - self.shares[1]) > 0.2

    @property
    def is_alike(self) -> bool:
        """Whether labels are as frequent with both versions: only counts are looked at."""
        return self.shares[0] == self.shares[1]


@dataclass
class ApprovingSeen:
    """Numbers of experiments."""

    experiments: int
    differ: int = 0  # the shares were called different at some look
    promote: int = 0  # the label called v2 better at a look at which the shares were not called different
    roll_back: int = 0  # and worse
    without: int = 0  # called it worse at some look, whatever the shares


def follow(world: Approving, seed: tuple[int, ...]) -> ApprovingSeen:
    """Look at each experiment until it is judged or over."""
    rng = np.random.default_rng(seed)
    seen = ApprovingSeen(world.experiments)
    for _ in range(world.experiments):
        arms = [_arm(world, rng, place) for place in (0, 1)]
        happened: set[str] = set()
        for control, treatment in zip(*arms, strict=True):
            counts = [(each.labelled, each.users) for each in (control, treatment)]
            differ = alike_p_value(counts) < ALIKE_ALPHA
            known = effect(control.area, treatment.area, ALPHA)
            few = min(control.labelled, treatment.labelled)
            state = metric_state(Role.DECIDES, "higher", known, None, None, few)
            happened |= {"differ"} if differ else set()
            if state is State.WORSE:
                happened |= {"without"} if differ else {"without", "roll_back"}
            elif state is State.BETTER and not differ:
                happened.add("promote")
        for name in happened:
            setattr(seen, name, getattr(seen, name) + 1)
    return seen


def far_apart(having: float, users: float, others: float, other_users: float) -> bool:
    """Whether two shares are 3 ordinary standard errors apart: what is not is never called different."""
    if not users or not other_users:
        return False
    first, second = having / users, others / other_users
    variance = first * (1 - first) / users + second * (1 - second) / other_users
    return bool((first - second) ** 2 > 9 * variance)


def alarms(world: Approving, seed: tuple[int, ...]) -> int:
    """In how many experiments shares that are the same were ever called different."""
    rng = np.random.default_rng(seed)
    found = 0
    for _ in range(world.experiments):
        users = rng.binomial(world.users // world.looks, world.treated, world.looks)
        sizes = (world.users // world.looks - users, users)
        having = [
            rng.binomial(size, share).cumsum().tolist()
            for size, share in zip(sizes, world.shares, strict=True)
        ]
        all_users = [size.cumsum().tolist() for size in sizes]
        looks = [
            [(a, n), (b, m)] for a, b, n, m in zip(*having, *all_users, strict=True) if far_apart(a, n, b, m)
        ]
        found += any(alike_p_value(counts) < ALIKE_ALPHA for counts in looks)
    return found


@dataclass(frozen=True)
class _Look:
    labelled: int
    users: int
    area: Estimate | None


def _arm(world: Approving, rng: np.random.Generator, place: int) -> Iterator[_Look]:
    """One variant at each look."""
    share, error = world.shares[place], ERRORS[place]
    size = round(world.users * (world.treated if place else 1 - world.treated))
    quality = rng.normal(0, 1, size)
    seen = quality + rng.normal(0, error, size)
    spread = np.sqrt(1 + error**2)
    approved = seen > spread * NormalDist().inv_cdf(1 - share)
    good = rng.random(size) < 1 / (1 + np.exp(-1 - 2 * quality))
    # A score is the same for all versions of the quality that it tells: an area does not change by it.
    scaled = (seen / spread + _REACH) / (2 * _REACH)
    bins = np.clip((scaled * _BINS).astype(np.int64), 0, _BINS - 1)
    look = np.arange(size) * world.looks // size
    positive, negative = (_counts(look, bins, approved & mask, world.looks) for mask in (good, ~good))
    users = np.bincount(look, minlength=world.looks).cumsum()
    for above, below, so_far in zip(positive, negative, users, strict=True):
        yield _Look(int(above.sum() + below.sum()), int(so_far), roc_auc(_sums(above, below)))


def _counts(look: Ints, bins: Ints, chosen: np.ndarray, looks: int) -> Floats:
    """How many of the chosen are in each bin by each look."""
    flat = np.bincount(look[chosen] * _BINS + bins[chosen], minlength=looks * _BINS)
    return flat.reshape(looks, _BINS).cumsum(0).astype(float)


def _sums(positive: Floats, negative: Floats) -> AucSums:
    """The sums of one labelled prediction a user, from counts by bins of the score."""
    m, n = positive.sum(), negative.sum()
    above = (negative.cumsum() - negative / 2) / max(n, 1)
    below = (m - positive.cumsum() + positive / 2) / max(m, 1)
    a, b = (positive * above).sum(), (negative * below).sum()
    return AucSums(
        users=int(m + n), users_positive=int(m), users_negative=int(n), m=int(m), n=int(n),
        a=a, b=b, aa=(positive * above**2).sum(), bb=(negative * below**2).sum(), ab=0.0,
        am=a, an=0.0, bm=0.0, bn=b, mm=m, nn=n, mn=0.0,
    )  # fmt: skip


WORLDS: Final = {
    "90 % with v1, 50 % with v2": Approving((0.9, 0.5)),
    "80 % with v1, 76 % with v2": Approving((0.8, 0.76)),
} | {
    f"{100 * share:g} % with both, {split}": Approving((share, share), treated=treated)
    for share in (0.005, 0.05, 0.5, 0.99)
    for split, treated in (("50/50", 0.5), ("95/5", 0.05))
}
"""What is simulated, by its name."""


def table(seed: int) -> Table:
    """Every world, what is claimed of it and what was seen."""
    rows, broken = [], []
    for place, (name, world) in enumerate(WORLDS.items()):
        n = world.experiments
        if world.is_alike:
            told = alarms(world, (seed, 3, place))
            most_told = most(ALIKE_ALPHA, n)
            holds, claimed = told / n <= most_told, f"called different ≤ {percent(most_told)}"
            rows.append((name, f"{percent(told / n)}{'' if holds else ' ✗'}", "", "", claimed))
        else:
            seen = follow(world, (seed, 3, place))
            wrong = (seen.roll_back + (seen.promote if world.is_far else 0)) / n
            holds = wrong == 0 and seen.differ / n >= 0.95 if world.is_far else wrong <= ALPHA
            claimed = (
                "judged never, called different ≥ 95 %" if world.is_far else f"judged ≤ {percent(ALPHA)}"
            )
            marked = f"**{percent(wrong)}**{'' if holds else ' ✗'}"
            rows.append((name, percent(seen.differ / n), marked, percent(seen.without / n), claimed))
        broken += [] if holds else [name]
    head = ("who has a label", "called different", "judged wrongly", "without the comparison", "claimed")
    return Table("selection", head, tuple(rows), tuple(broken))
