"""An experiment's report: everything that is known of it at one moment, as plain values.

What the analysis computes, the verdict and the ramp judge, the admin API sends and the dashboard draws is
this one structure. Shares are 0 to 1, times are seconds since 1970 (UTC), effects are treatment minus
control.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final

import msgspec

from ekiben.experiments.version import UNVERSIONED


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


class Decision(StrEnum):
    """What to do with an experiment."""

    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    GO_ON = "go_on"
    CANNOT_TELL = "cannot_tell"
    PROMOTED = "promoted"  # it was done: the experiment has ended
    ROLLED_BACK = "rolled_back"


class Interval(msgspec.Struct, frozen=True):
    """A confidence interval; None is an end that is not known yet (minus or plus infinity)."""

    low: float | None
    high: float | None


class Verdict(msgspec.Struct, frozen=True):
    """What to do, why in one word for programs, and in one sentence for people.

    The sentence of an experiment that has not ended begins with what to do and a colon: "Keep running: …".
    """

    decision: Decision
    reason: str
    sentence: str
    variant: str | None = None  # the treatment to promote

    @property
    def advice(self) -> str:
        """What to do, or what was done, in two or three words."""
        if self.decision in (Decision.PROMOTED, Decision.ROLLED_BACK):
            return self.decision.replace("_", " ").capitalize()
        return self.sentence.partition(": ")[0]

    @property
    def why(self) -> str:
        """The sentence without the advice."""
        return self.sentence.removeprefix(f"{self.advice}: ")


class VariantUsers(msgspec.Struct, frozen=True):
    """One variant and its users. `share_asked` and `share_seen` are shares of those who take part."""

    variant: str
    version: str
    users: int
    share_asked: float
    share_seen: float | None
    requests: int
    model_versions: tuple[str, ...] = ()  # what answered; more than one is a redeployment
    refused: int = 0  # of the requests: 422, which no metric counts as an error


class Srm(msgspec.Struct, frozen=True):
    """The sequential sample ratio mismatch test, before any exclusion."""

    p_value: float  # anytime-valid
    threshold: float
    mismatch: bool


class Effect(msgspec.Struct, frozen=True):
    """Treatment minus control, with intervals that hold at every look."""

    absolute: float | None
    interval: Interval
    relative: float | None  # a share of the control's mean
    relative_interval: Interval
    p_value: float | None  # anytime-valid
    fixed_p_value: float | None  # the ordinary test's: right only if this is the one and only look

    @property
    def is_relative(self) -> bool:
        """Whether the share of the control's mean is known within bounds. It is not while that mean may be 0,
        and then the absolute effect is what there is to show.
        """
        bounds = self.relative_interval
        return self.relative is not None and (bounds.low is not None or bounds.high is not None)


class VariantMetric(msgspec.Struct, frozen=True):
    """A metric in one variant. `users` are those whose window has closed."""

    variant: str
    users: int
    mean: float | None
    std: float | None  # between users
    interval: Interval  # of the mean, fixed-sample


class Point(msgspec.Struct, frozen=True):
    """The effect of one treatment as it was known at a time."""

    at: float
    users: int
    absolute: float | None
    interval: Interval


class CalibrationBin(msgspec.Struct, frozen=True):
    """Predictions with scores in [low, high): how often the label was positive. Of a label with classes the
    score is the largest probability, and positive is that its class was the true one.
    """

    low: float
    high: float
    count: int
    mean_score: float
    positive_rate: float
    interval: Interval


class ClassQuality(msgspec.Struct, frozen=True):
    """One class against all others."""

    name: str
    labels: int
    roc_auc: float | None
    roc_auc_interval: Interval


class LabelQuality(msgspec.Struct, frozen=True):
    """How well one variant's scores fit the labels, each measure with its interval. Of a label with classes
    `roc_auc` is the mean over these.
    """

    variant: str
    model_versions: tuple[str, ...]
    labels: int
    positives: int | None  # None with classes
    roc_auc: float | None
    roc_auc_interval: Interval
    brier: float | None
    brier_interval: Interval
    log_loss: float | None
    log_loss_interval: Interval
    accuracy: float | None
    accuracy_interval: Interval
    calibration: tuple[CalibrationBin, ...] = ()
    classes: tuple[ClassQuality, ...] = ()
    misordered: bool = False  # decisions fit the scores better with the classes in the order of their names


class MetricReport(msgspec.Struct, frozen=True):
    """A metric, in every variant, and its effects: one for each treatment, in the document's order."""

    name: str
    kind: str  # proportion | mean | ratio | label | requests
    better: str  # higher | lower
    role: Role
    window_hours: float
    max_worse: float | None  # of a guardrail: a share of the control's mean; of `requests` an absolute share
    variants: tuple[VariantMetric, ...]
    effects: dict[str, Effect]
    states: dict[str, State]
    series: dict[str, tuple[Point, ...]] = {}
    labels: tuple[LabelQuality, ...] = ()


WAITING: Final = "waiting"
"""The code of users and outcomes that will count once a window is over."""


class LeftOut(msgspec.Struct, frozen=True):
    """Users or outcomes that do not count, and why. Those of outcomes have a code, and say what to change."""

    reason: str
    what: str  # users | outcomes
    count: int
    code: str = ""
    advice: str = ""


class OutcomeCounts(msgspec.Struct, frozen=True):
    """What became of outcomes. Those accepted since the phase's first exposure, with earlier ones that count:
    exactly the counted ones and every line of `Report.left_out` that is of outcomes.
    """

    accepted: int
    counted: int


class Step(msgspec.Struct, frozen=True):
    """A step of a ramp: since when its time runs, and since when coverage is what it is."""

    began: float
    widened: float


class RuleChange(msgspec.Struct, frozen=True):
    """The rule of the verdict was changed within a phase: evidence of before was judged by another."""

    at: float
    moment: str  # the same as people read it
    who: str
    lines: tuple[str, ...]  # "alpha: 0.05 → 0.1"


class Past(msgspec.Struct, frozen=True):
    """What the events do not tell of a phase: its ramp's step, its coverages so far, in percent, and how its
    rule was changed, the newest change first.
    """

    step: Step | None = None
    coverages: tuple[float, ...] = ()
    rule_changes: tuple[RuleChange, ...] = ()


class StepUsers(msgspec.Struct, frozen=True):
    """The users first exposed since the step widened coverage, by variant: those whose windows for the ramp's
    guardrails are over."""

    began: float
    matured: dict[str, int]


class Ending(msgspec.Struct, frozen=True):
    """How an experiment ended: when, by whom, why, and the version that everyone gets since."""

    at: float
    moment: str  # the same as people read it
    who: str
    why: str
    version: str


class Redeployment(msgspec.Struct, frozen=True):
    """A version that answered under another tag than before."""

    variant: str
    model_version: str
    first_at: float
    acknowledged: bool


class ScoreBin(msgspec.Struct, frozen=True):
    """How many shadow answers differ from the served one by [low, high) in their score, or in that one of
    several in which they differ most.
    """

    low: float
    high: float
    count: int


class ShadowReport(msgspec.Struct, frozen=True):
    """A shadow version beside the version that answered: the evidence before its first user."""

    model: str
    version: str
    against: str
    compared: int
    agreement: float | None  # share of equal decisions
    agreement_interval: Interval
    mean_difference: float | None  # None where answers have several scores
    mean_absolute_difference: float | None  # of several scores those that are farthest apart
    difference: tuple[ScoreBin, ...]
    ks_distance: float | None  # Kolmogorov-Smirnov, between the two versions' scores
    latency_ms: dict[str, float]  # p50, p95, p99 of the shadow
    against_latency_ms: dict[str, float]

    @property
    def of_several(self) -> bool:
        """Whether the answers have several scores: differences are of those that are farthest apart."""
        return self.mean_difference is None and self.mean_absolute_difference is not None


class Report(msgspec.Struct, frozen=True):
    """Everything known of an experiment at `at`."""

    experiment: str
    model: str
    status: str
    phase: int
    coverage: float  # percent
    lineage: str
    revision: int
    at: float
    started_at: float | None  # first exposure of the phase
    days: float
    alpha: float
    min_users: int
    min_days: float
    variants: tuple[VariantUsers, ...]
    srm: Srm | None
    metrics: tuple[MetricReport, ...]  # declared ones in their order, then the guardrails of requests
    verdict: Verdict
    left_out: tuple[LeftOut, ...] = ()
    outcomes: OutcomeCounts | None = None
    redeployments: tuple[Redeployment, ...] = ()
    last_exposure_at: float | None = None
    coverages: tuple[float, ...] = ()  # of the phase so far, as far as they are known, the present one last
    step: StepUsers | None = None  # where a ramp runs
    rule_changes: tuple[RuleChange, ...] = ()  # of the phase, the newest first
    ending: Ending | None = None  # of one that was promoted or rolled back, where the history knows it
    overrides: int = 0  # requests by override: shown, never analysed
    lag_s: float | None = None  # age of the oldest event that the report may not know of yet

    @property
    def left_out_outcomes(self) -> dict[str, int]:
        """How many outcomes each reason leaves out, by its code."""
        found: dict[str, int] = {}
        for each in self.left_out:
            if each.what == "outcomes":
                found[each.code] = found.get(each.code, 0) + each.count
        return found

    def unacknowledged(self, acknowledged: Collection[str]) -> tuple[Redeployment, ...]:
        """The redeployments that block the verdict; what was `acknowledged` since the report blocks none."""
        return tuple(
            each
            for each in self.redeployments
            if not each.acknowledged and each.model_version not in acknowledged
        )

    @property
    def unversioned(self) -> tuple[VariantUsers, ...]:
        """The variants whose server tells no version: nobody could see a redeployment."""
        return tuple(each for each in self.variants if UNVERSIONED in each.model_versions)

    @property
    def deciding(self) -> MetricReport | None:
        """The metric that decides."""
        return next((metric for metric in self.metrics if metric.role is Role.DECIDES), None)

    @property
    def guardrails(self) -> tuple[MetricReport, ...]:
        """The metrics that must not worsen."""
        return tuple(metric for metric in self.metrics if metric.role is Role.GUARDRAIL)
