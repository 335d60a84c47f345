"""The reports of the experiments in `documents`: one that says promote, one that goes on, one that cannot
tell, and a draft without any.
"""

from __future__ import annotations

import msgspec

from ekiben.experiments.judging.verdict import judge
from ekiben.experiments.reports.metric import MetricReport, Role
from ekiben.experiments.reports.outcomes import LeftOut, OutcomeCounts
from ekiben.experiments.reports.past import Redeployment
from ekiben.experiments.reports.report import Decision, Report, VariantUsers, Verdict
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.experiments.statistics.srm import srm_test
from ekiben.state.documents.document import Stored
from tests.control.dashboard.broken_down import by, by_day
from tests.control.dashboard.samples import Sample, class_quality, metric, quality, shadow, shadow_of_several

TAGS = {
    ("credit", "v1"): "credit_v1:1aedb2013fa5d35e+1cf2c1bd",
    ("credit", "v2"): "credit_v2:8be07d5531c2aa90+1cf2c1bd",
    ("churn", "v1"): "churn_v1:0d9c55a1e7b24f36+77ab01f2",
    ("churn", "v2"): "churn_v2:5f1102ce9a4bd873+77ab01f2",
    ("churn", "v3"): "churn_v3:c2a0187bf4d6e951+77ab01f2",
    ("fraud", "v1"): "fraud_v1:94e6b03a5c7d1f28+3d10e77c",
    ("fraud", "v2"): "fraud_v2:2bd4f1a90c63e785+3d10e77c",
}
REDEPLOYED = "fraud_v2:7710ab8dd02c9e14+91c0de55"


def reports(stored: Stored, now: float, *, more: float = 1.0) -> dict[str, Report]:
    """The reports as of `now`; `more` multiplies the users of credit-boosting."""
    return {
        "credit-boosting": _boosting(stored, now, more),
        "churn-offers": _offers(stored, now),
        "fraud-graph": _graph(stored, now),
    }


def shadow_reports() -> dict[str, ShadowReport]:
    """By "model/version/against"."""
    return {
        "credit/v3/v1": shadow("credit", "v3", "v1", 18_204),
        "credit/v3/v2": shadow("credit", "v3", "v2", 6_113),
        "fraud/v2/v1": shadow_of_several("fraud", "v2", "v1", 4_164),
    }


def _boosting(stored: Stored, now: float, more: float) -> Report:
    users = {"control": round(6_041 * more), "treatment": round(5_993 * more)}
    mature = {name: count - 212 for name, count in users.items()}
    about = {"now": now, "days": 0.031}

    def both(first: tuple[float, float], second: tuple[float, float]) -> dict[str, Sample]:
        return {
            "control": Sample(mature["control"], *first),
            "treatment": Sample(mature["treatment"], *second),
        }

    labels = [
        quality("control", TAGS["credit", "v1"], 3_118, 0.781, 0.34),
        quality("treatment", TAGS["credit", "v2"], 3_094, 0.834, 0.04),
    ]
    profit = metric("profit", both((10.31, 165.2), (36.42, 164.1)), window_hours=1, **about)
    metrics = (
        msgspec.structs.replace(
            by_day(profit, (62.0, 58.5, 20.0, 4.0, -3.0), 165.0, now), saved={"treatment": 0.31}
        ),
        metric(
            "repaid",
            both((0.781, 1.1), (0.834, 1.0)),
            kind="label",
            role=Role.WATCHED,
            window_hours=1,
            labels=labels,
            **about,
        ),
        metric(
            "complaints",
            both((0.0412, 0.199), (0.0389, 0.193)),
            kind="proportion",
            better="lower",
            role=Role.GUARDRAIL,
            max_worse=0.4,
            **about,
        ),
        *_requests(mature, {"error_rate": (0.0004, 0.0005), "fallback_rate": (0.0, 0.0011)}, **about),
    )
    left_out = (
        LeftOut("seen in two variants", "users", 3),
        LeftOut("profit: the user's window of 1 h is not over", "users", 424),
        LeftOut("profit: later than the user's window", "outcomes", 118, "late", "Check the time `at`."),
    )
    gains = {"owner": (2_600, 31.0), "rent": (1_700, 4.0), "<b>priv</b>": (90, 8.0), "not sent": (900, 22.0)}
    home = by("home", metrics[:1], gains, 165.0)
    report = _judged(stored, "credit-boosting", users, metrics, now, 0.031, left_out=left_out, overrides=37)
    return msgspec.structs.replace(report, breakdowns=(home,))


def _offers(stored: Stored, now: float) -> Report:
    users = {"control": 2_214, "gentle": 2_178, "bold": 2_190}
    samples = {
        "control": Sample(1_802, 0.612, 0.487),
        "gentle": Sample(1_775, 0.641, 0.48),
        "bold": Sample(1_790, 0.593, 0.491),
    }
    about = {"now": now, "days": 5.2}
    labels = [
        quality("control", TAGS["churn", "v1"], 1_802, 0.702, 0.2),
        quality("gentle", TAGS["churn", "v2"], 1_775, 0.731, 0.08),
        quality("bold", TAGS["churn", "v3"], 1_790, 0.688, 0.31),
    ]
    areas = {each.variant: Sample(each.labels, each.roc_auc or 0.0, 0.9) for each in labels}
    kept = metric("kept", samples, kind="proportion", **about)
    metrics = (
        by_day(kept, (0.03, 0.02, 0.035, 0.04), 0.48, now),
        metric("left", areas, kind="label", role=Role.WATCHED, labels=labels, **about),
        *_requests(users, {"error_rate": (0.0011, 0.0009)}, **about),
    )
    gains = {f"country {place}": (500 - 20 * place, 0.04) for place in range(20)} | {"other": (600, -0.02)}
    country = by("country", metrics[:2], gains, 0.48)
    report = _judged(stored, "churn-offers", users, metrics, now, 5.2)
    return msgspec.structs.replace(report, breakdowns=(country,))


def _graph(stored: Stored, now: float) -> Report:
    users = {"control": 4_410, "treatment": 4_377}
    samples = {"control": Sample(4_102, 0.0312, 0.21), "treatment": Sample(4_077, 0.0347, 0.22)}
    about = {"now": now, "days": 8.4}
    labels = [
        class_quality("control", TAGS["fraud", "v1"], 1_204, {"none": 0.71, "card": 0.802, "account": 0.663}),
        class_quality("treatment", TAGS["fraud", "v2"], 1_187, {"none": 0.74, "card": 0.811, "account": 0.7}),
    ]
    areas = {each.variant: Sample(each.labels, each.roc_auc or 0.0, 0.9) for each in labels}
    metrics = (
        metric("caught", samples, **about),
        metric("sort", areas, kind="label", role=Role.WATCHED, labels=labels, **about),
        *_requests(users, {"slow_rate": (0.012, 0.093)}, **about),
    )
    again = Redeployment("treatment", REDEPLOYED, now - 3_600, acknowledged=False)
    return _judged(stored, "fraud-graph", users, metrics, now, 8.4, redeployments=(again,))


def _requests(
    users: dict[str, int], rates: dict[str, tuple[float, float]], *, now: float, days: float
) -> list[MetricReport]:
    """Guardrails of requests: the control's rate and the treatments'."""
    allowed = {"error_rate": 0.01, "fallback_rate": 0.02, "slow_rate": 0.05}
    control = next(iter(users))
    return [
        metric(
            name,
            {
                variant: Sample(count, rate[0] if variant == control else rate[1], 0.05)
                for variant, count in users.items()
            },
            kind="requests",
            better="lower",
            role=Role.GUARDRAIL,
            max_worse_by=allowed[name],
            now=now,
            days=days,
        )
        for name, rate in rates.items()
    ]


def _judged(
    stored: Stored,
    key: str,
    users: dict[str, int],
    metrics: tuple[MetricReport, ...],
    now: float,
    days: float,
    *,
    left_out: tuple[LeftOut, ...] = (),
    redeployments: tuple[Redeployment, ...] = (),
    overrides: int = 0,
) -> Report:
    experiment = stored.document.experiments[key]
    shares = [variant.weight / 100 for variant in experiment.variants.values()]
    total = sum(users.values())
    report = Report(
        experiment=key,
        model=experiment.model,
        status=experiment.status,
        phase=experiment.phase,
        coverage=experiment.coverage,
        lineage=stored.lineage,
        revision=stored.revision,
        at=now,
        started_at=now - days * 86_400,
        days=days,
        alpha=experiment.alpha,
        min_users=experiment.min_users,
        min_days=experiment.min_days,
        variants=tuple(
            VariantUsers(
                variant=name,
                version=variant.version,
                users=users[name],
                share_asked=variant.weight / 100,
                share_seen=users[name] / total,
                requests=users[name] * 3,
                model_versions=(
                    TAGS[experiment.model, variant.version],
                    *(each.model_version for each in redeployments if each.variant == name),
                ),
            )
            for name, variant in experiment.variants.items()
        ),
        srm=srm_test(list(users.values()), shares),
        metrics=metrics,
        verdict=Verdict(Decision.GO_ON, "unclear", ""),
        left_out=left_out,
        outcomes=OutcomeCounts(accepted=9_118, counted=9_000),
        redeployments=redeployments,
        overrides=overrides,
        lag_s=4.0,
    )
    return msgspec.structs.replace(report, verdict=judge(report))
