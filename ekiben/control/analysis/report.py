"""A report put together: from what the engine said to effects, states and the verdict. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from ekiben.control.analysis import comparing, days
from ekiben.control.analysis.delays import delays_of
from ekiben.control.analysis.differing_report import where_differing
from ekiben.control.analysis.gathering import Evidence
from ekiben.control.analysis.label_report import label_report
from ekiben.control.analysis.metrics import Bucket, names_of, window_s
from ekiben.control.analysis.reasons import OTHER, Reason, in_lines
from ekiben.control.analysis.segment_report import breakdowns
from ekiben.control.analysis.usable import usable_shares
from ekiben.experiments.amounts import share_of
from ekiben.experiments.document import Better, Experiment, Metric
from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.comparability import fairly
from ekiben.experiments.judging.states import hold_alpha
from ekiben.experiments.judging.verdict import judge
from ekiben.experiments.judging.watched import corrected
from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.kinds.requests import REQUEST_METRICS
from ekiben.experiments.kinds.table import REQUESTS
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.reports.outcomes import WAITING, LeftOut, OutcomeCounts
from ekiben.experiments.reports.past import Past, Redeployment
from ekiben.experiments.reports.report import Decision, Report, VariantUsers, Verdict
from ekiben.experiments.reports.srm import Srm
from ekiben.experiments.shares import buckets_held
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.broken import ITS_SHARE, broken_e_value
from ekiben.experiments.statistics.moments import Moments
from ekiben.experiments.statistics.srm import srm_test
from ekiben.state.documents.document import Stored

_DAY_S = 86_400.0
_NO_VERDICT = Verdict(Decision.CANNOT_TELL, "", "")


def put_together(
    key: str, experiment: Experiment, stored: Stored, evidence: Evidence, past: Past, now: float
) -> Report:
    """The report of an experiment as its document stands in `stored`, with its verdict."""
    started_at = evidence.started_at
    coverages = _coverages(experiment, past.coverages)
    splits = _splits(experiment, coverages)
    metrics, broken_down = corrected(
        (*_declared(experiment, evidence), *_of_requests(experiment, evidence)),
        breakdowns(experiment, evidence.segments, splits, share_of_alpha(experiment, Role.DECIDES)),
        experiment.alpha,
    )
    report = Report(
        experiment=key,
        model=experiment.model,
        status=str(experiment.status),
        phase=experiment.phase,
        coverage=experiment.coverage,
        lineage=stored.lineage,
        revision=stored.revision,
        at=now,
        started_at=started_at,
        days=0.0 if started_at is None else max(now - started_at, 0.0) / _DAY_S,
        alpha=experiment.alpha,
        min_users=experiment.min_users,
        min_days=experiment.min_days,
        planned_users=experiment.planned_users,
        max_days=experiment.max_days,
        goal=str(experiment.goal),
        compared=len(experiment.variants) - 1,
        variants=tuple(_variants(experiment, evidence)),
        srm=_srm(experiment, evidence, splits),
        breakdowns=broken_down,
        coverages=coverages,
        rule_changes=past.rule_changes,
        metrics=fairly(metrics),
        verdict=_NO_VERDICT,
        left_out=tuple(each for each in _left_out(experiment, evidence) if each.count),
        last_exposure_at=max((each.last_at for each in evidence.answers), default=None),
        step=evidence.step,
        redeployments=tuple(_redeployments(experiment, evidence)),
        outcomes=_outcomes(evidence),
        overrides=sum(each.requests for each in evidence.answers if each.assigned_by == "override"),
    )
    return msgspec.structs.replace(report, verdict=judge(report))


def share_of_alpha(experiment: Experiment, role: Role) -> float:
    """What one comparison may use up: Bonferroni over the treatments, and over the guardrails."""
    family = max(len(experiment.variants) - 1, 1)
    if role is Role.GUARDRAIL:
        declared = sum(metric.guardrail is not None for metric in experiment.metrics)
        family *= declared + len(REQUEST_METRICS)
    return experiment.alpha / family


def _variants(experiment: Experiment, evidence: Evidence) -> Iterator[VariantUsers]:
    weights = [0.0 if variant.retired else variant.weight for variant in experiment.variants.values()]
    held = _buckets(experiment, experiment.coverage)
    shares = held if sum(held) else weights
    seen = sum(_users(experiment, evidence))
    for place, (name, variant) in enumerate(experiment.variants.items()):
        users = evidence.users.get(place, 0)
        hashed = [each for each in evidence.answers if each.variant == name and each.assigned_by == "hash"]
        yield VariantUsers(
            variant=name,
            version=variant.version,
            users=users,
            share_asked=shares[place] / sum(shares) if sum(shares) else 0.0,
            share_seen=users / seen if seen and not variant.retired else None,
            requests=sum(each.requests for each in hashed),
            model_versions=tuple(model_versions(name, variant.version, evidence)),
            refused=sum(each.requests for each in hashed if each.result == "refused"),
            retired=variant.retired,
        )


def _users(experiment: Experiment, evidence: Evidence) -> list[int]:
    """The users of each variant, none of a retired one."""
    return [
        0 if variant.retired else evidence.users.get(place, 0)
        for place, variant in enumerate(experiment.variants.values())
    ]


def _buckets(experiment: Experiment, coverage: float) -> list[int]:
    """The buckets of each variant at a coverage, none of a retired one. Which of the others users got, before
    and after it was retired, is one split all along.
    """
    held = buckets_held(experiment, coverage)
    variants = experiment.variants.values()
    return [0 if variant.retired else each for variant, each in zip(variants, held, strict=True)]


def model_versions(variant: str, version: str, evidence: Evidence) -> dict[str, float]:
    """Under which tags a variant's own version answered, and since when, the earliest first."""
    found: dict[str, float] = {}
    for each in evidence.answers:
        own = each.variant == variant and each.version == version and each.result == "served"
        if own and each.model_version is not None:
            found[each.model_version] = min(each.first_at, found.get(each.model_version, each.first_at))
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _splits(experiment: Experiment, coverages: Sequence[float]) -> list[Sequence[float]]:
    # What the buckets hold, which at a small coverage is not what the weights say. Users who came under an
    # earlier coverage came by its buckets.
    held = [_buckets(experiment, coverage) for coverage in coverages]
    return [each for each in held if sum(each)]


def _srm(experiment: Experiment, evidence: Evidence, splits: Sequence[Sequence[float]]) -> Srm | None:
    if not evidence.users or not splits:
        return None
    return srm_test(_users(experiment, evidence), *splits)


def _coverages(experiment: Experiment, before: Sequence[float]) -> tuple[float, ...]:
    """The coverages of the phase so far as far as they are known, the present one last."""
    steps = experiment.ramp.steps if experiment.ramp is not None else ()
    earlier = {*before, *(step for step in steps if step < experiment.coverage)}
    return (*sorted(earlier - {experiment.coverage}), experiment.coverage)


def _declared(experiment: Experiment, evidence: Evidence) -> Iterator[MetricReport]:
    for metric in experiment.metrics:
        role = Role.WATCHED
        if metric.guardrail is not None:
            role = Role.GUARDRAIL
        elif metric is experiment.deciding_metric:
            role = Role.DECIDES
        alpha = share_of_alpha(experiment, role)
        if metric.kind.of_predictions:
            versions = {
                name: tuple(model_versions(name, variant.version, evidence))
                for name, variant in experiment.variants.items()
            }
            sums = evidence.labels.get(metric.name, {})
            report = label_report(
                metric, role, versions, sums, alpha, experiment.alpha, experiment.planned_users
            )
            more = _matters(metric) if role is Role.DECIDES else {}
            report = msgspec.structs.replace(report, **more)
        else:
            moments = evidence.values.get(metric.name, {})
            report = _of_outcomes(experiment, metric, role, moments, alpha)
            report = _with_tail(report, experiment, metric, evidence)
        if pairs := evidence.pairs.get(metric.name, {}):
            report_of = partial(_of_outcomes, experiment, metric, role, alpha=alpha)
            report = where_differing(report, metric, experiment, pairs, report_of)
        if metric.name in evidence.usable:
            shares = usable_shares(list(experiment.variants), *evidence.usable[metric.name])
            report = msgspec.structs.replace(report, usable=shares)
        yield msgspec.structs.replace(
            report,
            arrives_within=metric.arrives_within,
            delays=delays_of(metric, list(experiment.variants), evidence.delays.get(metric.name, ())),
        )


def _of_outcomes(
    experiment: Experiment, metric: Metric, role: Role, moments: Mapping[Bucket, Moments], alpha: float
) -> MetricReport:
    totals = {name: comparing.total(moments, place) for place, name in enumerate(experiment.variants)}
    limits = {} if metric.guardrail is None else dict(metric.guardrail)
    series = {
        name: comparing.series(metric.kind, moments, place, alpha, experiment.planned_users)
        for place, name in enumerate(experiment.variants)
        if place
    }
    report = _compared(experiment, metric.name, metric.kind, role, metric.better, totals, alpha, **limits)
    more = _matters(metric) if role is Role.DECIDES else {}
    return msgspec.structs.replace(
        report,
        window_hours=metric.window_hours,
        series=series,
        **_by_cohort(experiment, metric, moments, alpha),
        saved=_saved(metric, totals),
        **more,
    )


def _matters(metric: Metric) -> dict[str, float | None]:
    """The smallest effect that matters, as a report has it."""
    least = metric.min_effect
    if least is None:
        return {}
    share = share_of(least)
    return {"min_effect_share": share} if share is not None else {"min_effect": float(least)}


def _by_cohort(
    experiment: Experiment, metric: Metric, moments: Mapping[Bucket, Moments], alpha: float
) -> dict[str, Any]:
    """The fields of a metric's report that compare users by their first exposure."""
    treatments = list(enumerate(experiment.variants))[1:]
    share, planned = experiment.alpha / len(treatments), experiment.planned_users
    fading = {
        name: days.fading(metric.kind, moments, place, metric.better, share, planned)
        for place, name in treatments
    }
    return {
        "cohorts": {
            name: days.by_day(metric.kind, moments, place, alpha, planned) for place, name in treatments
        },
        "fading": {name: found for name, found in fading.items() if found is not None},
    }


def _saved(metric: Metric, totals: Mapping[str, Moments]) -> dict[str, float]:
    """The share of users that the metric's covariate saves in each comparison."""
    control, *treatments = totals
    if metric.covariate is None:
        return {}
    saved = {name: effects.saved_by_covariate(totals[control], totals[name]) for name in treatments}
    return {name: share for name, share in saved.items() if share is not None}


def _with_tail(
    report: MetricReport, experiment: Experiment, metric: Metric, evidence: Evidence
) -> MetricReport:
    """With what a cap is chosen by, and where there is one, with the effects without it."""
    control, *others = report.variants
    control = msgspec.structs.replace(control, p99=evidence.p99.get(metric.name))
    report = msgspec.structs.replace(report, variants=(control, *others))
    if metric.cap is None:
        return report
    alpha = share_of_alpha(experiment, Role.WATCHED)
    moments = evidence.uncapped.get(metric.name, {})
    whole = _of_outcomes(experiment, metric, Role.WATCHED, moments, alpha)
    return msgspec.structs.replace(report, cap=metric.cap, uncapped=whole.effects)


def _of_requests(experiment: Experiment, evidence: Evidence) -> Iterator[MetricReport]:
    role = Role.GUARDRAIL
    alpha = share_of_alpha(experiment, role)
    for name in REQUEST_METRICS:
        found = evidence.requests.get(name, {})
        totals = {variant: found.get(place, Moments()) for place, variant in enumerate(experiment.variants)}
        limit = getattr(experiment.request_limits, name)
        firsts = evidence.first_results.get(name, {})
        tested = ITS_SHARE * alpha if REQUEST_METRICS[name].result is not None else 0.0
        own = alpha - tested
        report = _compared(experiment, name, REQUESTS, role, Better.LOWER, totals, own, max_worse_by=limit)
        broken = {
            variant: State.VIOLATED
            for place, variant in enumerate(experiment.variants)
            if place in firsts and broken_e_value(firsts.get(0, ()), firsts[place], limit) * tested >= 1
        }
        yield msgspec.structs.replace(report, states=report.states | broken)


def _compared(
    experiment: Experiment,
    name: str,
    kind: Kind,
    role: Role,
    better: Better,
    totals: Mapping[str, Moments],
    alpha: float,
    **limits: float | None,
) -> MetricReport:
    control, *treatments = totals
    changes = {
        variant: comparing.compare(kind, totals[control], totals[variant], alpha, experiment.planned_users)
        for variant in treatments
    }
    variants = [comparing.in_variant(kind, name, each, experiment.alpha) for name, each in totals.items()]
    dominated = {name: State.DOMINATED for name, each in totals.items() if kind.is_dominated(each)}
    hold_at = hold_alpha(experiment.alpha, len(treatments))
    return comparing.metric_report(
        name, kind, role, better, variants, changes, hold_at=hold_at, unjudged=dominated, **limits
    )


def _redeployments(experiment: Experiment, evidence: Evidence) -> Iterator[Redeployment]:
    for name, variant in experiment.variants.items():
        later = list(model_versions(name, variant.version, evidence).items())[1:]
        for model_version, first_at in later:
            yield Redeployment(
                variant=name,
                model_version=model_version,
                first_at=first_at,
                acknowledged=model_version in experiment.acknowledged_model_versions,
            )


def _left_out(experiment: Experiment, evidence: Evidence) -> Iterator[LeftOut]:
    yield LeftOut("assigned by an override", "users", evidence.overridden)
    yield LeftOut("seen in two variants", "users", evidence.crossed)
    counting = sum(evidence.users.values()) - evidence.crossed
    for metric in experiment.metrics:
        if metric.name in evidence.values:
            matured = sum(each.n for each in evidence.values[metric.name].values())
            reason = f"{metric.name}: the user's window of {format_duration(window_s(metric))} is not over"
            if metric.arrives_within:
                more = format_duration(metric.arrives_within * 3600)
                reason += f", or the {more} that outcomes have to arrive"
            yield LeftOut(reason, "users", counting - matured, WAITING)
    yield from in_lines(evidence.outcomes, names_of(experiment.metrics))
    yield LeftOut(
        "for a reason that Ekiben does not know", "outcomes", _unexplained(evidence), "other", OTHER
    )


def _outcomes(evidence: Evidence) -> OutcomeCounts:
    counted = [each for each in evidence.outcomes if each.reason is Reason.COUNTED]
    return OutcomeCounts(
        accepted=evidence.received + sum(each.earlier for each in counted),
        counted=sum(each.count for each in counted),
    )


def _unexplained(evidence: Evidence) -> int:
    """0, or the analysis is wrong: the reasons are cases of one table, and one of them is every outcome's."""
    return _outcomes(evidence).accepted - sum(each.count for each in evidence.outcomes)
