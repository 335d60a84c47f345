"""`ekiben report`: an experiment's report as sentences and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from rich.console import Console
from rich.table import Table

from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.comparability import comparability_lines
from ekiben.experiments.judging.differing import differing_lines
from ekiben.experiments.judging.wording import doubts, fading_words, uncapped
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.labels import LabelQuality
from ekiben.experiments.reports.metric import MetricReport
from ekiben.experiments.reports.outcomes import OutcomeCounts
from ekiben.experiments.reports.report import Report
from ekiben.showing.segments import breakdown_table
from ekiben.showing.standing import moment
from ekiben.showing.values import interval_of, level_of
from ekiben.terminal.tables import NONE, plain_table


def show_report(console: Console, report: Report) -> None:
    """Print everything that a decision needs."""
    console.print(
        f"{report.experiment}: {report.status.replace('_', ' ')}, {report.coverage:g} % of users take part, "
        f"phase {report.phase}, {format_duration(report.days * 86_400)} (as of {moment(report.at)})",
        soft_wrap=True,
    )
    console.print(f"verdict: {report.verdict.sentence}", soft_wrap=True)
    console.print()
    console.print(users_table(report))
    console.print(split_line(report), soft_wrap=True)
    console.print()
    console.print(metrics_table(report))
    for breakdown in report.breakdowns:
        console.print()
        console.print(breakdown_table(report, breakdown))
    for metric in report.metrics:
        for line in differing_lines(report, metric):
            console.print(f"{metric.name}: {line}", soft_wrap=True)
        if metric.labels:
            console.print()
            console.print(labels_table(metric))
        if any(each.classes for each in metric.labels):
            console.print()
            console.print(classes_table(metric))
    notes = list(_notes(report))
    if notes:
        console.print()
    for line in notes:
        console.print(line, soft_wrap=True)


def show_comparison(console: Console, found: Mapping[str, Any]) -> None:
    """Print whether a report computed from all events is the one of what is kept (`analysis.agreement`)."""
    console.print(
        f"from all events: {found['from_scratch_s']:.2f} s; from what is kept: {found['kept_s']:.2f} s; "
        + ("they differ:" if found["differences"] else "the same"),
        soft_wrap=True,
    )
    for line in found["differences"]:
        console.print(line, soft_wrap=True, markup=False)


def users_table(report: Report) -> Table:
    """The variants and their users."""
    table = plain_table("users")
    for name in ("variant", "version", "users", "asked", "seen", "requests", "refused"):
        table.add_column(name, justify="left" if name in ("variant", "version") else "right")
    for each in report.variants:
        table.add_row(
            f"{each.variant} (retired)" if each.retired else each.variant,
            each.version,
            f"{each.users:,}",
            _percent(each.share_asked),
            _percent(each.share_seen),
            f"{each.requests:,}",
            f"{each.refused:,}",
        )
    return table


def split_line(report: Report) -> str:
    """Whether the split is the one that was asked for."""
    srm = report.srm
    if srm is None:
        return "split: not tested yet"
    if srm.mismatch:
        return f"split: SRM, not what was asked (p = {srm.p_value:.2g}): no verdict until that is explained"
    return f"split: as asked (p = {srm.p_value:.2g}, a mismatch is called below {srm.threshold:g})"


def outcomes_line(outcomes: OutcomeCounts) -> str:
    """How many outcomes count of those that were accepted."""
    return f"outcomes: {outcomes.counted:,} count of {outcomes.accepted:,} accepted since the phase began"


def metrics_table(report: Report) -> Table:
    """Each metric's effect in each treatment, with the interval that holds at every look."""
    table = plain_table("metrics: treatment minus control, intervals that hold at every look")
    for name in ("metric", "role", "treatment"):
        table.add_column(name)
    for name in ("matured users", "control", "interval", "estimate", "relative"):
        table.add_column(name, justify="right")
    table.add_column("so far")
    for metric in report.metrics:
        means = {each.variant: each for each in metric.variants}
        control = next(iter(means.values()), None)
        for variant, effect in metric.effects.items():
            users = sum(each.users for each in (control, means.get(variant)) if each is not None)
            table.add_row(
                metric.name,
                str(metric.role),
                variant,
                f"{users:,}",
                level_of(metric, control.mean if control else None),
                interval_of(metric, effect.interval),
                level_of(metric, effect.absolute, signed=True),
                _percent(effect.relative if effect.is_relative else None, signed=True),
                _state(metric, variant),
            )
    return table


def labels_table(metric: MetricReport) -> Table:
    """How well each variant's scores fit the labels."""
    table = plain_table(f"{metric.name}: how well the scores fit the labels")
    binary = any(each.positives is not None for each in metric.labels)
    counts = ("labels", "positive") if binary else ("labels",)
    for name in ("variant", *counts, *(measure.called for measure in LabelMeasure)):
        table.add_column(name, justify="left" if name == "variant" else "right")
    for each in metric.labels:
        positives = () if each.positives is None else (f"{each.positives:,}",)
        table.add_row(each.variant, f"{each.labels:,}", *positives, *_measures(each))
    return table


def classes_table(metric: MetricReport) -> Table:
    """Of each class how often it was the true one, and how well its probability tells it from the others."""
    table = plain_table(f"{metric.name}: ROC AUC of each class against the others")
    table.add_column("class")
    for quality in metric.labels:
        table.add_column(f"{quality.variant}, labels", justify="right")
        table.add_column("ROC AUC", justify="right")
    for of_variants in zip(*(quality.classes for quality in metric.labels), strict=True):
        cells = [(f"{each.labels:,}", _measure(each.roc_auc, each.roc_auc_interval)) for each in of_variants]
        table.add_row(of_variants[0].name, *chain.from_iterable(cells))
    return table


def _measures(quality: LabelQuality) -> Iterator[str]:
    for measure in LabelMeasure:
        yield _measure(getattr(quality, measure), getattr(quality, f"{measure}_interval"))


def _measure(value: float | None, interval: Interval) -> str:
    return NONE if value is None else f"{value:.4f} ({_end(interval.low)} to {_end(interval.high)})"


def _end(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _notes(report: Report) -> Iterator[str]:
    if report.outcomes is not None and report.outcomes.accepted:
        yield outcomes_line(report.outcomes)
    for left in report.left_out:
        advice = f". {left.advice}" if left.advice else ""
        yield f"left out: {left.count:,} {left.what}: {left.reason}{advice}"
    if report.overrides:
        yield f"left out: {report.overrides:,} requests by override"
    for rule in report.rule_changes:
        yield f"the rule was changed on {rule.moment} by {rule.who}: {'; '.join(rule.lines)}"
    for change in report.redeployments:
        noted = "acknowledged" if change.acknowledged else "not acknowledged: it blocks the verdict"
        yield f"{change.variant} was answered by {change.model_version} in the middle ({noted})"
    yield from _of_metrics(report)
    yield from comparability_lines(report)
    yield from doubts(report)
    for metric in report.metrics:
        yield from uncapped(report, metric)
    if report.lag_s is not None and report.lag_s > 60:
        yield f"the newest {format_duration(report.lag_s)} of events are not in it yet"


def _of_metrics(report: Report) -> Iterator[str]:
    for metric in report.metrics:
        for variant, share in metric.saved.items():
            yield f"{metric.name}, {variant}: the covariate saves {share:.0%} of the users"
        for variant in metric.fading:
            yield f"{metric.name}, {variant}: {fading_words(metric, variant)}"


def _state(metric: MetricReport, variant: str) -> str:
    state = metric.states.get(variant)
    return NONE if state is None else str(state).replace("_", " ")


def _percent(share: float | None, *, signed: bool = False) -> str:
    if share is None:
        return NONE
    return f"{100 * share:+.1f} %" if signed else f"{100 * share:.1f} %"
