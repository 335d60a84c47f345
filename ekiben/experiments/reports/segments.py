"""A report broken down by what the client said of users."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.srm import Srm

MOST_VALUES: Final = 20
"""Values of one attribute that are segments of their own."""

MOST_SEGMENTS: Final = MOST_VALUES + 2


class SegmentKind(StrEnum):
    """Which users a segment has."""

    VALUE = "value"  # those with one value of the attribute
    OTHER = "other"  # those whose value is not one of the most frequent
    NOT_SENT = "not_sent"  # those whose first request said nothing


class SegmentEffect(msgspec.Struct, frozen=True):
    """What one treatment does to one metric in one segment. It is better or worse where e-BH over all
    segments, metrics and treatments says so. The interval is for itself alone.
    """

    metric: str
    variant: str
    users: int  # matured ones, of the treatment and of the control
    effect: Effect
    state: State


class Segment(msgspec.Struct, frozen=True):
    """Users with one value of an attribute at their first exposure."""

    name: str  # the value; "other" or "not sent" for those without one of their own
    kind: SegmentKind
    users: dict[str, int]  # by variant
    srm: Srm | None  # of this segment, at a level for all of them together
    effects: tuple[SegmentEffect, ...]

    @property
    def title(self) -> str:
        """The name, in brackets where it is no value of the attribute."""
        return self.name if self.kind is SegmentKind.VALUE else f"({self.name})"


class Breakdown(msgspec.Struct, frozen=True):
    """All users by one attribute, the most frequent value first."""

    attribute: str
    segments: tuple[Segment, ...]
