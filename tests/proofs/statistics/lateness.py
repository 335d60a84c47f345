"""Outcomes that take longer to arrive in one variant: is anything promoted for it?

Users come evenly over the days of the experiment. Some have an outcome within a day after the first exposure,
alike in both variants. It arrives after a delay, which differs between them or does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ekiben.control.analysis.delays import ArrivalCount, delays_of, steps_hours
from ekiben.experiments.document import Metric
from ekiben.experiments.judging.states import metric_state
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.statistics.effects import effect, proportion
from ekiben.experiments.statistics.moments import Moments
from tests.proofs.statistics.claims import Table, most, percent
from tests.proofs.statistics.peeking import ALPHA
from tests.proofs.statistics.populations import Floats
from tests.proofs.statistics.selection import far_apart

_BOUGHT: Final = {"name": "bought", "outcome": "bought", "kind": "proportion", "window_hours": 24}
_VARIANTS: Final = ("control", "treatment")


@dataclass(frozen=True)
class Delayed:
    """Mean delays in days of control and treatment; `spread` is how much they differ between outcomes."""

    days: tuple[float, float]
    arrives_within: float | None = None
    spread: float = 0.1
    users: int = 20_000
    share: float = 0.2
    lasts_days: float = 28.0
    judged_from_days: float = 0.0
    experiments: int = 1000
    looks: int = 100


@dataclass
class DelayedSeen:
    """Numbers of experiments: called better at some look, better or worse, with other delays."""

    experiments: int
    promote: int = 0
    judged: int = 0
    differ: int = 0
    without: int = 0  # judged, did nobody look at delays


def follow(world: Delayed, seed: Sequence[int]) -> DelayedSeen:
    """Every experiment, at every look."""
    rng = np.random.default_rng(tuple(seed))
    metric = Metric.model_validate(_BOUGHT | {"arrives_within": world.arrives_within})
    seen = DelayedSeen(world.experiments)
    for _ in range(world.experiments):
        arms = [_arm(world, metric, rng, place) for place in (0, 1)]
        happened: set[str] = set()
        for look in range(world.looks):
            if (look + 1) * world.lasts_days / world.looks < world.judged_from_days:
                continue
            users, having, passed = zip(*(tuple(part[look] for part in arm) for arm in arms), strict=True)
            known = effect(
                *(proportion(Moments(int(n), x, x)) for n, x in zip(users, having, strict=True)), ALPHA
            )
            state = metric_state(Role.DECIDES, "higher", known, None, None, int(min(users)))
            judged = state in (State.BETTER, State.WORSE)
            if not judged and not _far_apart(passed):
                continue
            counts = [
                ArrivalCount(place, step, int(number), None)
                for place in (0, 1)
                for step, number in enumerate(passed[place])
            ]
            delays = delays_of(metric, _VARIANTS, counts)
            held = delays is not None and (delays.differ or delays.unknown)
            happened |= {"differ"} if delays is not None and delays.differ else set()
            if judged:
                happened |= {"without"} if held else {"without", "judged"}
                if state is State.BETTER and not held:
                    happened.add("promote")
        for name in happened:
            setattr(seen, name, getattr(seen, name) + 1)
    return seen


def _far_apart(passed: Sequence[Floats]) -> bool:
    """Whether the shares that came after some step may be called different."""
    first, second = passed
    steps = range(1, len(first))
    return any(
        far_apart(first[step:].sum(), first.sum(), second[step:].sum(), second.sum()) for step in steps
    )


def _arm(
    world: Delayed, metric: Metric, rng: np.random.Generator, place: int
) -> tuple[Floats, Floats, Floats]:
    """At each look: matured users, those with an outcome that counts, and by how many steps they passed."""
    size = world.users // 2
    came = np.sort(rng.uniform(0, 24 * world.lasts_days, size))
    buys = rng.random(size) < world.share
    closes = came + metric.window_hours
    delay = 24 * world.days[place] * np.maximum(1 + world.spread * rng.normal(0, 1, size), 0)
    arrives = came + rng.uniform(0, 24, size) + delay
    settles = came + metric.settles_hours
    counts_for = buys if world.arrives_within is None else buys & (arrives <= settles)
    looks = (np.arange(world.looks) + 1) * 24 * world.lasts_days / world.looks
    steps = steps_hours(metric)
    passed = (arrives[:, None] - closes[:, None] > np.array(steps)).sum(1)
    # What is known at a look: of those matured by then what arrived by then.
    known_at = np.searchsorted(looks, np.maximum(arrives, settles))
    users = np.searchsorted(settles, looks, "right").astype(float)
    having = np.bincount(known_at[counts_for], minlength=world.looks + 1)[: world.looks].cumsum()
    arrived = np.zeros((world.looks + 1, len(steps) + 1))
    np.add.at(arrived, (known_at[buys], passed[buys]), 1.0)
    return users, having.astype(float), arrived[: world.looks].cumsum(0)


WORLDS: Final = {
    "1 and 4 days": Delayed((1.0, 4.0)),
    "1 and 10 days": Delayed((1.0, 10.0)),
    "1 and 4 days, allowed 24 h, from day 7": Delayed((1.0, 4.0), 24.0, judged_from_days=7.0),
    "1 and 4 days, allowed 168 h": Delayed((1.0, 4.0), 168.0),
    "1 day in both": Delayed((1.0, 1.0), spread=1.0),
    "1 day in both, allowed 24 h": Delayed((1.0, 1.0), 24.0, spread=1.0),
}
"""What is simulated, by its name."""


def table(seed: int) -> Table:
    """Every world, what is claimed of it and what was seen."""
    rows, broken = [], []
    for place, (name, world) in enumerate(WORLDS.items()):
        seen = follow(world, (seed, 4, place))
        n = world.experiments
        alike = world.days[0] == world.days[1]
        cut_alike = world.arrives_within is not None and 24 * max(world.days) < world.arrives_within
        if alike or cut_alike:
            holds = seen.judged / n <= most(ALPHA, n) and seen.differ / n <= most(0.001, n)
            claimed = f"judged ≤ {percent(most(ALPHA, n))}, other delays ≤ {percent(most(0.001, n))}"
        else:
            holds, claimed = seen.judged == 0, "never judged"
        broken += [] if holds else [f"delays: {name}"]
        judged = f"**{percent(seen.judged / n)}**{'' if holds else ' ✗'}"
        rows.append(
            (
                name,
                judged,
                percent(seen.promote / n),
                percent(seen.differ / n),
                percent(seen.without / n),
                claimed,
            )
        )
    head = ("delays", "judged", "promoted", "called different", "judged without the comparison", "claimed")
    return Table("delays", head, tuple(rows), tuple(broken))
