"""Effects by day of first exposure: does the effect last, or do only the first users see it?

Each user is in one day, so the effects of two days are independent. A day's users all mature in the end, and
its effect then stays as it is. Days are UTC's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Final, NamedTuple

from ekiben.control.analysis.metrics import Bucket
from ekiben.experiments.document import Better
from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.reports.effect import CohortEffect, Fading
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.sequential import JUDGED_FROM, PLANNED_USERS

DAY_S: Final = 86_400.0
CUTS_DAYS: Final = (1, 2, 4, 8, 16, 32)
"""After so many days the first users end and the later ones begin. They are fixed beforehand, so that all
intervals on both sides hold together: each is at alpha / (2 · cuts)."""


class _Cohort(NamedTuple):
    since: float
    until: float
    control: Moments
    treated: Moments

    def __add__(self, other: object) -> _Cohort:
        """Both together; `other` came later."""
        assert isinstance(other, _Cohort)
        return _Cohort(self.since, other.until, self.control + other.control, self.treated + other.treated)

    @property
    def suffices(self) -> bool:
        return min(self.control.n, self.treated.n) >= JUDGED_FROM

    def effect(self, kind: Kind, alpha: float, planned_users: float) -> CohortEffect:
        found = effects.effect(*kind.pair(self.control, self.treated), alpha, planned_users)
        if kind.is_dominated(self.control) or kind.is_dominated(self.treated):
            found = effects.without_intervals(found)
        users = self.control.n + self.treated.n
        return CohortEffect(self.since, self.until, users, found.absolute, found.interval)


def by_day(
    kind: Kind,
    moments: Mapping[Bucket, Moments],
    treatment: int,
    alpha: float,
    planned_users: float = PLANNED_USERS,
) -> tuple[CohortEffect, ...]:
    """The effect of one treatment (its place; the control's is 0) among the users of each day, or of as many
    days as it takes until each variant has enough. Those of the last days are waited for.
    """
    found: list[CohortEffect] = []
    held: _Cohort | None = None
    for day in _days(moments, treatment):
        held = day if held is None else held + day
        if held.suffices:
            found.append(held.effect(kind, alpha, planned_users))
            held = None
    return tuple(found)


def fading(
    kind: Kind,
    moments: Mapping[Bucket, Moments],
    treatment: int,
    better: Better,
    alpha: float,
    planned_users: float = PLANNED_USERS,
) -> Fading | None:
    """Whether later users surely have less of the effect than the first: at some cut the whole interval of
    the later ones is on the bad side of that of the first. Of several cuts it is the clearest.

    Right with probability 1 - `alpha` over all looks: every interval holds at all of them (a union bound).
    """
    days = _days(moments, treatment)
    share = alpha / (2 * len(CUTS_DAYS))
    found: list[tuple[float, Fading]] = []
    for cut in CUTS_DAYS if days else ():
        ends = days[0].since + cut * DAY_S
        sides = [each for each in days if each.until <= ends], [each for each in days if each.since >= ends]
        if not all(sides):
            continue
        first, later = (reduce(add, side) for side in sides)
        if first.suffices and later.suffices:
            fades = Fading(cut, *(side.effect(kind, share, planned_users) for side in (first, later)))
            found.append((_fall(fades, better), fades))
    apart, clearest = max(found, key=lambda each: each[0], default=(0.0, None))
    return clearest if apart > 0 else None


def _fall(fades: Fading, better: Better) -> float:
    """How far the intervals are apart, in the direction that is worse."""
    upper, lower = fades.first.interval, fades.later.interval
    if better is Better.LOWER:
        upper, lower = lower, upper
    return -1.0 if upper.low is None or lower.high is None else upper.low - lower.high


def _days(moments: Mapping[Bucket, Moments], treatment: int) -> list[_Cohort]:
    """The users of each day, the first day first. A stretch of several days stays whole."""
    found: dict[tuple[float, float], dict[int, Moments]] = {}
    for bucket, each in moments.items():
        if bucket.variant in (0, treatment):
            begins = bucket.since // DAY_S * DAY_S
            day = found.setdefault((begins, max(begins + DAY_S, bucket.until)), {})
            day[bucket.variant] = day.get(bucket.variant, Moments()) + each
    return [
        _Cohort(*ends, day.get(0, Moments()), day.get(treatment, Moments()))
        for ends, day in sorted(found.items())
    ]
