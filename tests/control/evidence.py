"""Reports and beats as the analysis and the routers would leave them in Redis."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from ekiben.control.desk import REPORTS_KEY
from ekiben.experiments.reports.effect import Effect, Interval
from ekiben.experiments.reports.metric import MetricReport, Role, State, VariantMetric
from ekiben.experiments.reports.past import Step, StepUsers
from ekiben.experiments.reports.report import Decision, Report, VariantUsers, Verdict
from ekiben.state.beats import Beat, Beats
from ekiben.state.documents.document import Stored


def effect(absolute: float, half: float) -> Effect:
    """An effect whose interval is `half` to either side."""
    interval = Interval(absolute - half, absolute + half)
    return Effect(absolute, interval, absolute / 10, Interval(None, None), 0.5, 0.5)


def metric(name: str, role: Role, state: State, users: int, absolute: float, half: float) -> MetricReport:
    """A metric whose control's mean is 10 and whose standard deviation is 20."""
    return MetricReport(
        name=name,
        kind="mean",
        better="higher",
        role=role,
        window_hours=24.0,
        max_worse=0.05 if role is Role.GUARDRAIL else None,
        variants=(
            VariantMetric("control", users, 10.0, 20.0, Interval(9.0, 11.0)),
            VariantMetric("treatment", users, 10.0 + absolute, 20.0, Interval(9.0, 11.0)),
        ),
        effects={"treatment": effect(absolute, half)},
        states={"treatment": state},
    )


def report(
    stored: Stored,
    key: str,
    at: float,
    *,
    users: int = 1000,
    guardrail: State = State.HOLDS,
    better: bool = False,
    step: Step | None = None,
) -> Report:
    """What would be known of the experiment at `at`: `users` in each variant, all matured, after 30 days."""
    experiment = stored.document.experiments[key]
    absolute, half = (5.0, 1.0) if better else (0.1, 1.0)
    harm = (-3.0, 1.0) if guardrail is State.VIOLATED else (0.0, 0.1)
    return Report(
        experiment=key,
        model=experiment.model,
        status=str(experiment.status),
        phase=experiment.phase,
        coverage=experiment.coverage,
        lineage=stored.lineage,
        revision=stored.revision,
        at=at,
        started_at=at - 30 * 86_400,
        days=30.0,
        alpha=experiment.alpha,
        min_users=experiment.min_users,
        min_days=experiment.min_days,
        variants=tuple(
            VariantUsers(name, variant.version, users, variant.weight / 100, 0.5, 2 * users)
            for name, variant in experiment.variants.items()
        ),
        srm=None,
        metrics=(
            metric("profit", Role.DECIDES, State.BETTER if better else State.UNCLEAR, users, absolute, half),
            metric("kept", Role.GUARDRAIL, guardrail, users, *harm),
        ),
        last_exposure_at=at,
        step=None if step is None else StepUsers(step.began, dict.fromkeys(experiment.variants, users)),
        verdict=Verdict(Decision.GO_ON, "unclear", "Keep running: not settled yet."),
        lag_s=0.0,
    )


async def put_report(redis: Redis, made: Report) -> None:
    """Leave it where the analyst does."""
    await redis.hset(REPORTS_KEY, made.experiment, msgspec.json.encode(made))  # type: ignore[misc]


async def beat(redis: Redis, at: float, *, outcomes_open: bool = False, loopback: bool = True) -> None:
    """A router worker that runs."""
    await Beats(redis).write(
        Beat(
            worker="w1",
            host="router-1",
            pid=1,
            at=at,
            started_at=at,
            lineage=None,
            revision=None,
            adopted_at=None,
            draining=False,
            loopback=loopback,
            outcomes_open=outcomes_open,
        )
    )
