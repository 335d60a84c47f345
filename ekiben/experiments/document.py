"""The experiments document: what `experiments.yaml` says.

`ekiben.experiments.parsing.parse_document` is the only way in: a `Document` from it has passed every check,
those between its parts included. Percentages are 0 to 100, as in the file. The text below a field is its
description in error messages, in `docs/experiments-file.md` and, by the JSON Schema, in editors.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from ekiben.experiments.amounts import Amount
from ekiben.experiments.differing import OnlyWhereField
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.kinds.table import MetricKind
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.part import Name, Part, Percent
from ekiben.experiments.statistics.sequential import PLANNED_USERS
from ekiben.experiments.version import Version

AttributeName = Annotated[str, Field(min_length=1, max_length=64)]


class Capture(Part):
    """Which of a model's predictions are recorded, beside the exposures of experiments. There are two
    samples, each of all requests. The numbers are of the whole installation.
    """

    per_second: int = Field(default=0, ge=0, le=100, examples=[5])
    """Predictions a second that are kept with their features."""
    scores_per_second: int = Field(default=0, ge=0, le=10_000, examples=[500])
    """Predictions a second that are kept without their features, by user."""
    without: Annotated[tuple[Name, ...], Field(strict=False)] = Field(default=(), examples=[["income"]])
    """Features and attributes that are never kept."""


class Model(Part):
    """What a client asks for by name, and the versions that can answer."""

    live: Name = Field(examples=["v1"])
    """The version that serves everyone outside experiments, and answers when another fails."""
    timeout_ms: int = Field(default=300, ge=1, le=60_000)
    """Time for the whole request. A version that is not live gets at most half of it."""
    cache_ttl_s: int = Field(default=300, ge=0, le=31_536_000)
    """How long an answer is cached. 0 caches nothing."""
    versions: dict[str, Version] = Field(min_length=1)
    """The versions, each with its endpoints."""
    shadow: dict[str, Percent] = Field(default={}, examples=[{"v3": 100}])
    """The share of requests that is copied to each of these versions. No copy goes to the version that
    answers.
    """
    capture: Capture | None = None
    """Samples of predictions to record. Without it, none are."""


class Variant(Part):
    """One option of an experiment. It serves a version to its share of those who take part."""

    version: Name = Field(examples=["v2"])
    """The version that this variant serves. The first variant serves live."""
    weight: Percent = Field(examples=[50])
    """Share of those who take part. The weights of all variants add up to 100."""
    retired: bool = False
    """Whether its users get the control's version from now on, and it is compared no longer. `ekiben retire`
    writes it.
    """


class Namespace(Part):
    """The share of a namespace's users, in percent, from which an experiment draws: [from, to)."""

    name: str = Field(min_length=1, max_length=256, examples=["credit"])
    """Experiments that name it share its users."""
    from_: Percent = Field(alias="from", examples=[0])
    """Percent where the share begins."""
    to: Percent = Field(examples=[50])
    """Percent where the share ends."""


class Better(StrEnum):
    """Which direction of a metric is the good one."""

    HIGHER = "higher"
    LOWER = "lower"


class Guardrail(Part):
    """How much worse than the control's a metric may become: one of the two."""

    max_worse: float | None = Field(default=None, ge=0, le=10, allow_inf_nan=False, examples=[0.05])
    """A share (0 to 1) of the control's mean."""
    max_worse_by: float | None = Field(default=None, ge=0, allow_inf_nan=False, examples=[0.01])
    """The same as an amount in the metric's unit, in place of `max_worse`. 0.01 of a proportion is one
    percentage point.
    """


class Metric(Part):
    """What is computed from outcomes, for each user, and compared between variants."""

    name: Name = Field(examples=["approvals"])
    """What reports call it."""
    outcome: str = Field(min_length=1, max_length=100, examples=["approved"])
    """The name of the outcomes it is made of."""
    kind: MetricKind = Field(examples=["proportion"])
    """What is computed from them. `proportion` is whether a user has one other than 0. `mean` is their sum, 0
    without one. `ratio` is all users' sums of one over their sums of another. `label` is the truth for a
    prediction: 1 or 0, or which of `classes` it is.
    """
    better: Annotated[Better, Field(strict=False)] = Better.HIGHER
    """Which direction is good."""
    guardrail: Guardrail | None = Field(default=None, examples=[{"max_worse": 0.05}])
    """Makes the metric a guardrail, which must not become worse than this. A metric without it can decide."""
    window_hours: float = Field(default=24.0, gt=0, le=8760, allow_inf_nan=False)
    """How long after a user's first exposure outcomes count."""
    arrives_within: float | None = Field(default=None, ge=0, le=8760, allow_inf_nan=False, examples=[96])
    """Hours after the window in which its outcomes still arrive. Users mature then, and what arrives later
    does not count. Without it users mature with the window, and outcomes count whenever they arrive.
    """
    denominator: str | None = Field(default=None, min_length=1, max_length=100, examples=["approved"])
    """The outcomes that a ratio divides by. Only a ratio has it."""
    covariate: str | None = Field(default=None, min_length=1, max_length=100, examples=["earlier_profit"])
    """Outcomes from before the first exposure that explain a part of the variance (CUPED)."""
    cap: float | None = Field(default=None, gt=0, allow_inf_nan=False, examples=[500])
    """The most that a user counts, in the outcome's unit: a value is cut to between -cap and cap. In a ratio
    it is the most of the denominator. The metric without the cap is shown beside it.
    """
    measure: Annotated[LabelMeasure, Field(strict=False)] = LabelMeasure.ROC_AUC
    """Which measure of a label is compared. `brier` and `log_loss` need `better: lower`."""
    min_effect: Amount | None = Field(default=None, examples=[0.5, "5%"])
    """Of the metric that decides, the smallest effect that matters: an amount in its unit, or a share of the
    control's mean as text. With it an experiment in which there is none comes to an end.
    """
    classes: Annotated[tuple[Name, ...], Field(strict=False)] | None = Field(
        default=None, examples=[["negative", "neutral", "positive"]]
    )
    """The classes of a label that has several, 2 to 32, in the order of the probabilities in `scores`. An
    outcome's value is then the place of the true class in this list, 0 for the first.
    """
    only_where: OnlyWhereField | None = Field(default=None, examples=["decisions_differ"])
    """Counts only outcomes of requests on which the two versions differ, which needs far fewer users.
    Routers then ask both versions, for this experiment's users. `{scores_differ: 0.1}` is for versions that
    decide nothing. The metric is a mean, and its outcomes name a `prediction_id`.
    """

    @property
    def settles_hours(self) -> float:
        """How long after the first exposure a user matures: the window, and what outcomes take to arrive."""
        return self.window_hours + (self.arrives_within or 0.0)


class RequestLimits(Part):
    """How much larger than the control's these shares of requests may be. Every experiment has them."""

    error_rate: float = Field(default=0.01, ge=0, le=1)
    """Requests that failed. Refused ones (422) do not count."""
    fallback_rate: float = Field(default=0.02, ge=0, le=1)
    """Requests that live answered instead."""
    slow_rate: float = Field(default=0.05, ge=0, le=1)
    """Requests slower than `latency_ms`."""
    latency_ms: float = Field(default=200.0, gt=0, le=60_000)
    """Above this a request is slow."""


class RampEnd(StrEnum):
    """What a ramp does once its last step has a verdict."""

    WAIT = "wait"
    PROMOTE = "promote"


class RampBegin(StrEnum):
    """When a ramp takes its first step."""

    AT_ONCE = "at_once"
    WHEN_SHADOW_IS_NOT_WORSE = "when_shadow_is_not_worse"


class Ramp(Part):
    """Raising coverage by steps while the guardrails hold."""

    steps: Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1, strict=False)] = (
        Field(title="Steps, coverage in percent", examples=[[2, 10, 50, 100]])
    )
    """Coverage in percent, each step larger than the one before."""
    every: str = Field(default="1h", title="Each step for at least", examples=["30m"])
    """How long a step lasts at least, as 30s, 30m, 6h or 2d."""
    min_users_per_step: int = Field(default=500, ge=1, title="Users in each variant before the next")
    """Users of each variant who must join in a step and mature before the next step."""
    guardrails: Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        default=None, title="Guardrails that are judged", examples=[["approvals", "error_rate"]]
    )
    """Names of the guardrails that are judged. Without it all of them are."""
    begin: Annotated[RampBegin, Field(strict=False)] = Field(
        default=RampBegin.AT_ONCE, title="The first step"
    )
    """When the first step is taken. With `when_shadow_is_not_worse` nobody takes part before labels say that
    no treatment is worse than the control on the same predictions. That needs a shadow of each treatment and
    a metric of kind `label`.
    """
    then: Annotated[RampEnd, Field(strict=False)] = Field(default=RampEnd.WAIT, title="After the last step")
    """What happens after the last step. `wait` leaves it to a person, `promote` promotes when the verdict
    says so.
    """


class Goal(StrEnum):
    """What a treatment must be to be promoted: better, or not worse by as much as matters."""

    BETTER = "better"
    NOT_WORSE = "not_worse"


class Experiment(Part):
    """A comparison of variants of one model. The first variant is the control."""

    model: Name = Field(examples=["credit"])
    """The model whose versions are compared."""
    status: Annotated[Status, Field(strict=False)] = Field(default=Status.DRAFT, examples=["running"])
    """Draft, then running or paused, at the end promoted or rolled back. An end is final."""
    coverage: Percent = 100.0
    """Share of all users who take part. The others get live. Raising it never moves a user who takes part."""
    seed: str | None = Field(default=None, min_length=1, max_length=256, examples=["credit-boosting-2"])
    """The text that salts the hash. Without it, the experiment's key."""
    phase: int = Field(default=1, ge=1, le=1_000_000)
    """The number of a stretch with one seed and fixed weights. New weights need a new phase and seed."""
    variants: dict[str, Variant]
    """The control first, then one or more treatments."""
    overrides: dict[str, Name] = Field(default={}, examples=[{"u-qa-1": "treatment"}])
    """The variant of each of these users, for tests. They are never analysed."""
    namespace: Namespace | None = None
    """The share of users to draw from. Experiments that run on one model need one each."""
    metrics: Annotated[tuple[Metric, ...], Field(strict=False)] = ()
    """The metrics to compare. The first that is not a guardrail decides."""
    segments: Annotated[tuple[AttributeName, ...], Field(max_length=5, strict=False)] = Field(
        default=(), examples=[["country", "plan"]]
    )
    """Names of attributes by which reports break users down, at most 5. A user counts with the value of the
    first request.
    """
    request_limits: RequestLimits = RequestLimits()
    """The guardrails for errors, fallbacks and slow requests."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """The probability of a false alarm over all looks together."""
    planned_users: int = Field(default=PLANNED_USERS, ge=100, le=10**12, examples=[20_000])
    """Users of a treatment and the control together for which intervals are narrowest. It is fixed during a
    phase.
    """
    min_users: int = Field(default=500, ge=1)
    """Matured users in each variant before a verdict. A ramp rolls back without them."""
    min_days: float = Field(default=7.0, ge=0, le=3650)
    """Days of a phase before a verdict."""
    max_days: float | None = Field(default=None, gt=0, le=3650, allow_inf_nan=False, examples=[28])
    """Days of a phase after which the verdict is to stop, whatever has been found."""
    goal: Annotated[Goal, Field(strict=False)] = Goal.BETTER
    """When a treatment is promoted. `not_worse` also takes one that is not worse by `min_effect`, such as one
    that costs less to run.
    """
    ramp: Ramp | None = None
    """Raises coverage by steps while the guardrails hold."""
    acknowledged_model_versions: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Redeployments that no longer block the verdict, because a person has looked at them. `ekiben
    acknowledge` writes them.
    """

    @property
    def deciding_metric(self) -> Metric | None:
        """The first metric that is no guardrail."""
        return next((metric for metric in self.metrics if metric.guardrail is None), None)


class Document(Part):
    """All models and experiments of an installation.

    `model_dump(mode="json", by_alias=True, exclude_defaults=True)` gives data that `parse_document` takes
    back to an equal document.
    """

    models: dict[str, Model] = Field(min_length=1)
    """What clients ask for, by name."""
    experiments: dict[str, Experiment] = Field(default={})
    """The comparisons, by key."""
