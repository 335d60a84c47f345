"""Reports that the verdict's and the ramp's tests begin from."""

from __future__ import annotations

from typing import Any

from ekiben.experiments.reports.effect import Effect, Interval
from ekiben.experiments.reports.metric import MetricReport, Role, State, VariantMetric
from ekiben.experiments.reports.past import StepUsers
from ekiben.experiments.reports.report import Decision, Report, VariantUsers, Verdict
from ekiben.experiments.reports.srm import Srm

NONE = Interval(low=None, high=None)


def effect(absolute: float | None, low: float | None = None, high: float | None = None) -> Effect:
    return Effect(
        absolute=absolute,
        interval=Interval(low=low, high=high),
        relative=None,
        relative_interval=NONE,
        p_value=None,
        fixed_p_value=None,
    )


def metric(name: str, states: dict[str, State], **fields: Any) -> MetricReport:
    """A metric in the control and these treatments; `users`, `effects` and the rest as named."""
    users = fields.pop("users", 2000)
    mean = fields.pop("mean", 10.0)
    names = ("control", *states)
    counts = users if isinstance(users, dict) else dict.fromkeys(names, users)
    known: dict[str, Any] = {
        "kind": "mean",
        "better": "higher",
        "role": Role.DECIDES,
        "window_hours": 24.0,
        "max_worse": None,
        "effects": dict.fromkeys(states, effect(26.1, 18.0, 34.2)),
    }
    return MetricReport(
        name=name,
        states=states,
        variants=tuple(
            VariantMetric(
                variant=each, users=counts[each], mean=mean, std=165.0 if mean else 0.0, interval=NONE
            )
            for each in names
        ),
        **known | fields,
    )


def profit(state: State = State.BETTER, **fields: Any) -> MetricReport:
    return metric("profit", {"treatment": state}, **fields)


def errors(state: State = State.HOLDS, **fields: Any) -> MetricReport:
    known = {"effects": {"treatment": effect(0.001, -0.002, 0.004)}, "max_worse_by": 0.01, "better": "lower"}
    return metric("error_rate", {"treatment": state}, kind="requests", role=Role.GUARDRAIL, **known | fields)


def report(*metrics: MetricReport, **fields: Any) -> Report:
    """A running experiment of v1 and v2 that is past its minima; by default v2 is better and all holds."""
    treatments = fields.pop("treatments", {"treatment": "v2"})
    share = 1 / (1 + len(treatments))
    known: dict[str, Any] = {
        "experiment": "credit-boosting",
        "model": "credit",
        "status": "running",
        "phase": 1,
        "coverage": 100.0,
        "lineage": "a",
        "revision": 1,
        "at": 10_000.0,
        "started_at": 0.0,
        "days": 8.0,
        "alpha": 0.05,
        "min_users": 500,
        "min_days": 7.0,
        "compared": len(treatments),
        "srm": Srm(p_value=1.0, threshold=0.001, mismatch=False),
        "metrics": metrics or (profit(), errors()),
        "last_exposure_at": 10_000.0,
        "step": StepUsers(began=1000.0, matured=dict.fromkeys(("control", *treatments), 2000)),
        "verdict": Verdict(decision=Decision.GO_ON, reason="", sentence=""),
        "variants": tuple(
            VariantUsers(
                variant=name, version=version, users=2000, share_asked=share, share_seen=share, requests=4000
            )
            for name, version in ({"control": "v1"} | treatments).items()
        ),
    }
    return Report(**known | fields)
