"""A metric as a report has it: in every variant, with its effects and what they say."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ekiben.experiments.reports.delays import Delays
from ekiben.experiments.reports.differing import Differing
from ekiben.experiments.reports.effect import CohortEffect, Effect, Fading, Interval, Point
from ekiben.experiments.reports.labels import LabelQuality
from ekiben.experiments.reports.usable import UsableShares


class Role(StrEnum):
    """What a metric is there for."""

    DECIDES = "decides"
    GUARDRAIL = "guardrail"
    WATCHED = "watched"


class State(StrEnum):
    """What the evidence says of a metric so far. For a guardrail: holds, violated or unclear."""

    BETTER = "better"  # the interval lies wholly on the good side of no effect
    WORSE = "worse"  # wholly on the bad side
    HOLDS = "holds"  # whatever the effect is, it is not worse than allowed
    VIOLATED = "violated"  # whatever the effect is, it is worse than allowed
    UNCLEAR = "unclear"  # the interval holds both
    NO_DATA = "no_data"  # too few matured users to say anything
    NOT_COMPARABLE = "not_comparable"  # it would be better or worse, but other users have outcomes
    DOMINATED = "dominated"  # a few users have so much of the denominator that nothing can be said


class VariantMetric(msgspec.Struct, frozen=True):
    """A metric in one variant. `users` are those whose window has closed."""

    variant: str
    users: int
    mean: float | None
    std: float | None  # between users
    interval: Interval  # of the mean, fixed-sample
    p99: float | None = None  # of the control: the 99th percentile of what a cap would cut
    effective_users: float | None = None  # of a ratio and of labels: users of equal weight that say as much


class MetricReport(msgspec.Struct, frozen=True):
    """A metric, in every variant, and its effects: one for each treatment, in the document's order."""

    name: str
    kind: str  # proportion | mean | ratio | label | requests
    better: str  # higher | lower
    role: Role
    window_hours: float
    max_worse: float | None  # of a guardrail: a share of the control's mean
    variants: tuple[VariantMetric, ...]
    effects: dict[str, Effect]
    states: dict[str, State]
    series: dict[str, tuple[Point, ...]] = {}
    labels: tuple[LabelQuality, ...] = ()
    cohorts: dict[str, tuple[CohortEffect, ...]] = {}  # by treatment: one for each day of first exposure
    fading: dict[str, Fading] = {}  # by treatment, where it is known
    only_where: str | None = None  # "the decisions differ": the effects are those of such requests
    differing: dict[str, Differing] = {}
    saved: dict[str, float] = {}  # by treatment: the share of users that the covariate saves
    cap: float | None = None  # the most that a user counts
    uncapped: dict[str, Effect] = {}  # the effects without the cap: they are shown and decide nothing
    max_worse_by: float | None = None  # the same in the metric's unit, in place of `max_worse`
    min_effect: float | None = None  # of what decides: the smallest effect that matters, in its unit
    min_effect_share: float | None = None  # the same as a share of the control's mean
    arrives_within: float | None = None  # hours after the window, where the metric says so
    delays: Delays | None = None
    usable: UsableShares | None = None  # of a metric that is taken over some users only: a label, a ratio

    @property
    def margin(self) -> float | None:
        """How much worse a guardrail may become, in the metric's unit; None where that is not known."""
        control = self.variants[0].mean if self.variants else None
        if self.max_worse_by is not None or self.max_worse is None or control is None:
            return self.max_worse_by
        return self.max_worse * abs(control)

    @property
    def settles_hours(self) -> float:
        """How long after the first exposure a user matures."""
        return self.window_hours + (self.arrives_within or 0.0)
