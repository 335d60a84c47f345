"""How large an effect is, and how surely that is known."""

from __future__ import annotations

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """A confidence interval; None is an end that is not known yet (minus or plus infinity)."""

    low: float | None
    high: float | None


class Control(msgspec.Struct, frozen=True):
    """The control's value as it was compared, which a share of it divides by."""

    value: float
    variance: float
    with_effect: float  # its covariance with treatment minus control


class Effect(msgspec.Struct, frozen=True):
    """Treatment minus control, with intervals that hold at every look."""

    absolute: float | None
    interval: Interval
    relative: float | None  # a share of the control's mean
    relative_interval: Interval
    p_value: float | None  # anytime-valid
    fixed_p_value: float | None  # the ordinary test's: right only if this is the one and only look
    std_error: float | None = None  # the one behind the intervals
    users: float = 0.0  # the boundary's time: those of both variants
    planned_users: float = 5000.0  # where the intervals are narrowest, in the same time
    control: Control | None = None

    @property
    def is_relative(self) -> bool:
        """Whether the share of the control's mean is known within bounds. It is not while that mean may be 0,
        and then the absolute effect is what there is to show.
        """
        bounds = self.relative_interval
        return self.relative is not None and (bounds.low is not None or bounds.high is not None)


class CohortEffect(msgspec.Struct, frozen=True):
    """The effect of one treatment among the users first exposed from `since` on and before `until`."""

    since: float
    until: float
    users: int
    absolute: float | None
    interval: Interval


class Fading(msgspec.Struct, frozen=True):
    """An effect that is surely smaller among later users than among the first: it may be that of novelty."""

    days: int  # how many the first users came in
    first: CohortEffect
    later: CohortEffect


class Point(msgspec.Struct, frozen=True):
    """The effect of one treatment as it was known at a time."""

    at: float
    users: int
    absolute: float | None
    interval: Interval
