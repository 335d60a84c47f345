"""A plan as plain values: what the admin API sends and the command line prints."""

from __future__ import annotations

from math import ceil
from typing import Final

import msgspec

from ekiben.experiments.reports.metric import Role
from ekiben.experiments.statistics.sample_size import Duration, SampleSize

NO_DIFFERENCE: Final = 1.4
"""By so many times the users with which an effect is found in 80 %, `no_difference` ends 80 % where there is
none; by `SURELY` times it ends 97 %. `make stats-proof` simulates both.
"""
SURELY: Final = 2.0


class PlannedPart(msgspec.Struct, frozen=True):
    """What a promotion needs of one metric, were it the only one. `mean` and `std` are live's."""

    name: str
    role: Role
    effect: float  # in the metric's unit: what is to be found, or a guardrail's margin
    mean: float | None
    std: float
    users: int  # of all variants together
    wider_margin: float | None = None  # of the bottleneck, where it is a guardrail
    users_with_wider_margin: int | None = None


class Ends(msgspec.Struct, frozen=True):
    """Users by which the experiment ends without a difference when there is none: `not_better` in as many
    cases as the plan's power says, `no_difference` in 80 % and in 97 %. The deciding metric's `min_effect`
    has to be the planned effect.
    """

    not_better: int
    no_difference: int
    no_difference_surely: int

    @classmethod
    def of(cls, users: int) -> Ends:
        """From the users with which the deciding metric alone finds the effect."""
        return cls(users, ceil(NO_DIFFERENCE * users), ceil(SURELY * users))


class SamplePlan(msgspec.Struct, frozen=True):
    """Users and days for a promotion. `mean` and `std` are the deciding metric's, under live."""

    experiment: str | None  # None where it does not exist yet
    model: str
    metric: str
    effect: float
    relative_effect: float | None  # a share of the control's mean
    mean: float | None
    std: float
    alpha: float
    power: float
    size: SampleSize  # with which the effect is found and every guardrail holds
    users_per_day: float | None
    duration: Duration | None
    sentence: str
    source: str  # where mean, standard deviations and users a day are from
    parts: tuple[PlannedPart, ...]  # the deciding metric, then the guardrails
    bottleneck: str  # the one of the parts that needs most
    unknown: tuple[str, ...]  # guardrails of which nothing is known: they are not counted
    ends: Ends
    planned_users: int  # of a treatment and the control: what the experiment's `planned_users` should say
    fixed_planned_users: int | None  # what it says, where it cannot change any more
    users_unless_written: int | None  # what a draft needs with the `planned_users` that it says now
    cap: float | None  # where the metric is long-tailed: its 99th percentile
    coverage: float
    days: float | None = None  # in which the effect is the smallest that is found
    missing: str = ""  # what to do so that more is known
