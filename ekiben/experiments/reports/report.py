"""An experiment's report: everything that is known of it at one moment, as plain values.

What the analysis computes, the verdict and the ramp judge, the admin API sends and the dashboard draws is
this one structure. Shares are 0 to 1, times are seconds since 1970 (UTC), effects are treatment minus
control.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

import msgspec

from ekiben.experiments.reports.metric import MetricReport, Role
from ekiben.experiments.reports.outcomes import LeftOut, OutcomeCounts
from ekiben.experiments.reports.past import Ending, Redeployment, RuleChange, StepUsers
from ekiben.experiments.reports.segments import Breakdown
from ekiben.experiments.reports.srm import Srm
from ekiben.experiments.version import UNVERSIONED


class Decision(StrEnum):
    """What to do with an experiment."""

    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    RETIRE = "retire"  # one treatment of several
    NO_DIFFERENCE = "no_difference"  # stop: none that matters
    NOT_BETTER = "not_better"  # stop: no treatment is, by as much as matters
    ENDED = "ended"  # stop: its time is over
    GO_ON = "go_on"
    CANNOT_TELL = "cannot_tell"
    PROMOTED = "promoted"  # it was done: the experiment has ended
    ROLLED_BACK = "rolled_back"


class Verdict(msgspec.Struct, frozen=True):
    """What to do, why in one word for programs, and in one sentence for people.

    The sentence of an experiment that has not ended begins with what to do and a colon: "Keep running: …".
    """

    decision: Decision
    reason: str
    sentence: str
    variant: str | None = None  # the treatment to promote or to retire

    @property
    def stops(self) -> bool:
        """Whether nothing that matters was found, so that the experiment is to end as it began."""
        return self.decision in (Decision.NO_DIFFERENCE, Decision.NOT_BETTER, Decision.ENDED)

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
    retired: bool = False  # its users get the control's version, and it is compared no longer


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
    planned_users: int = 5000  # of a treatment and the control together: narrowest intervals
    breakdowns: tuple[Breakdown, ...] = ()  # by each of the experiment's `segments`
    max_days: float | None = None
    goal: str = "better"  # or not_worse
    compared: int = 1  # treatments that share alpha, the retired ones with them
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
