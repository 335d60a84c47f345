"""The experiments document: what `experiments.yaml` says.

`ekiben.experiments.parsing.parse_document` is the only way in: a `Document` from it has passed every check,
those between its parts included. Percentages are 0 to 100, as in the file.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ekiben.experiments.lifecycle import Status

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Version(_Part):
    """One trained version of a model and the endpoints that serve it."""

    # Not strict, because JSON and YAML have lists where Python has tuples.
    endpoints: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = Field(
        description="the URLs of the model service, such as [http://127.0.0.1:3001]"
    )
    workers: int = Field(default=1, ge=1, le=1024, description="BentoML workers behind each endpoint")


class Capture(_Part):
    """Which of a model's predictions are recorded, beside the exposures of experiments: two samples, each of
    all requests. The numbers are of the whole installation.
    """

    per_second: int = Field(
        default=0, ge=0, le=100, description="predictions a second that are kept with their features"
    )
    scores_per_second: int = Field(
        default=0, ge=0, le=10_000, description="predictions a second that are kept without, by user"
    )
    without: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        default=(), description="features and attributes that are never kept"
    )


class Model(_Part):
    """What a client asks for by name, and the versions that can answer."""

    live: Name = Field(description="the version that serves everyone outside experiments")
    timeout_ms: int = Field(default=300, ge=1, le=60_000, description="bounds the whole request")
    cache_ttl_s: int = Field(default=300, ge=0, le=31_536_000, description="how long an answer is kept")
    versions: dict[str, Version] = Field(min_length=1, description="the versions, each with its endpoints")
    shadow: dict[str, Percent] = Field(default={}, description="percent of requests copied to a version")
    capture: Capture | None = Field(
        default=None, description="samples of predictions to record; none unless named"
    )


class Variant(_Part):
    """One option of an experiment: a version, and its share of those who take part."""

    version: Name = Field(description="the version that this variant serves")
    weight: Percent = Field(description="percent of those who take part")


class Namespace(_Part):
    """The share of a namespace's users, in percent, from which an experiment draws: [from, to)."""

    name: str = Field(min_length=1, max_length=256, description="experiments that name it share its users")
    from_: Percent = Field(alias="from", description="percent where the share begins")
    to: Percent = Field(description="percent where the share ends")


class MetricKind(StrEnum):
    """What is computed from a user's outcomes."""

    PROPORTION = "proportion"  # whether the user has an outcome with a value other than 0
    MEAN = "mean"  # the sum of the user's outcomes, 0 without one
    RATIO = "ratio"  # all users' sums of one outcome over their sums of another
    LABEL = "label"  # ground truth for a prediction's score: 1 is positive, 0 is not


class Better(StrEnum):
    """Which direction of a metric is the good one."""

    HIGHER = "higher"
    LOWER = "lower"


class Measure(StrEnum):
    """How well scores fit the labels."""

    ROC_AUC = "roc_auc"
    BRIER = "brier"
    LOG_LOSS = "log_loss"
    ACCURACY = "accuracy"


class Guardrail(_Part):
    """How much worse a metric may become: a share (0 to 1) of the control's mean."""

    max_worse: float = Field(ge=0, le=10, allow_inf_nan=False, description="a share of the control's mean")


class Metric(_Part):
    """What is computed from outcomes, for each user, and compared between variants."""

    name: Name = Field(description="what reports call it")
    outcome: str = Field(min_length=1, max_length=100, description="the name of the outcomes it is made of")
    kind: Annotated[MetricKind, Field(strict=False)] = Field(description="what is computed of them")
    better: Annotated[Better, Field(strict=False)] = Field(
        default=Better.HIGHER, description="which direction is good"
    )
    guardrail: Guardrail | None = Field(
        default=None, description="it must not worsen; without it, it can decide"
    )
    window_hours: float = Field(
        default=24.0,
        gt=0,
        le=8760,
        allow_inf_nan=False,
        description="outcomes count for so long after a user's first exposure",
    )
    denominator: str | None = Field(
        default=None, min_length=1, max_length=100, description="of a ratio: the outcomes to divide by"
    )
    covariate: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="outcomes of before the first exposure that explain a part of the variance (CUPED)",
    )
    measure: Annotated[Measure, Field(strict=False)] = Field(
        default=Measure.ROC_AUC, description="of a label: which measure is compared"
    )


REQUEST_METRICS = ("error_rate", "fallback_rate", "slow_rate")
"""The guardrails that every experiment has: metrics of requests, not of outcomes."""


class RequestLimits(_Part):
    """The guardrails that need no declaration: how much larger, as shares of requests (0 to 1), than the
    control's each may be.
    """

    error_rate: float = Field(
        default=0.01, ge=0, le=1, description="requests that failed; refused ones (422) do not count"
    )
    fallback_rate: float = Field(default=0.02, ge=0, le=1, description="requests that live answered instead")
    slow_rate: float = Field(default=0.05, ge=0, le=1, description="requests slower than latency_ms")
    latency_ms: float = Field(default=200.0, gt=0, le=60_000, description="above this a request is slow")


class RampEnd(StrEnum):
    """What a ramp does once its last step has a verdict."""

    WAIT = "wait"
    PROMOTE = "promote"


class Ramp(_Part):
    """Raising coverage by steps while the guardrails hold."""

    steps: Annotated[tuple[Annotated[float, Field(gt=0, le=100)], ...], Field(min_length=1, strict=False)] = (
        Field(description="coverage in percent, rising")
    )
    every: str = Field(default="1h", description="how long a step lasts at least: 30s, 30m, 6h, 2d")
    min_users_per_step: int = Field(
        default=500,
        ge=1,
        description="users in each variant who join in a step and whose window is over, before the next",
    )
    guardrails: Annotated[tuple[str, ...], Field(strict=False)] | None = Field(
        default=None, description="the guardrails that are judged; all of them unless named"
    )
    then: Annotated[RampEnd, Field(strict=False)] = Field(
        default=RampEnd.WAIT, description="after the last step: wait for a person, or promote"
    )


class Experiment(_Part):
    """A comparison of variants of one model. The first variant is the control."""

    model: Name = Field(description="the model whose versions are compared")
    status: Annotated[Status, Field(strict=False)] = Field(
        default=Status.DRAFT, description="where it stands"
    )
    coverage: Percent = Field(default=100.0, description="percent of users who take part")
    seed: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="salts the hash; the experiment's key unless named",
    )
    phase: int = Field(default=1, ge=1, le=1_000_000, description="a stretch with one seed and fixed weights")
    variants: dict[str, Variant] = Field(description="the control first, then the treatments")
    overrides: dict[str, Name] = Field(default={}, description="user → variant, never analysed")
    namespace: Namespace | None = Field(default=None, description="the share of users to draw from")
    metrics: Annotated[tuple[Metric, ...], Field(strict=False)] = Field(
        default=(), description="the first that is no guardrail decides"
    )
    request_limits: RequestLimits = Field(
        default=RequestLimits(), description="errors, fallbacks and slow requests"
    )
    alpha: float = Field(
        default=0.05, gt=0, lt=0.5, description="the probability of a false alarm, over all looks"
    )
    min_users: int = Field(default=500, ge=1, description="matured users in each variant before a verdict")
    min_days: float = Field(default=7.0, ge=0, le=3650, description="days of a phase before a verdict")
    ramp: Ramp | None = Field(default=None, description="raises coverage by steps")
    acknowledged_model_versions: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="redeployments that somebody has looked at: they block no verdict"
    )

    @property
    def deciding_metric(self) -> Metric | None:
        """The first metric that is no guardrail."""
        return next((metric for metric in self.metrics if metric.guardrail is None), None)


class Document(_Part):
    """All models and experiments of an installation.

    `model_dump(mode="json", by_alias=True, exclude_defaults=True)` gives data that `parse_document` takes
    back to an equal document.
    """

    models: dict[str, Model] = Field(min_length=1, description="what clients ask for, by name")
    experiments: dict[str, Experiment] = Field(default={}, description="the comparisons, by key")
