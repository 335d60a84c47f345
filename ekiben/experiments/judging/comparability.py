"""Which metrics cannot be compared between variants, and why, in words that say what decides instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.wording import version_of
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.reports.report import Report
from ekiben.experiments.statistics.sequential import JUDGED_FROM


def fairly(metrics: Sequence[MetricReport]) -> tuple[MetricReport, ...]:
    """The same metrics. One whose variants have other users, or outcomes that take longer, is neither better
    nor worse.
    """
    return tuple(_without(metric, _undecided(metric)) for metric in metrics)


def _without(metric: MetricReport, undecided: Sequence[State]) -> MetricReport:
    states = {
        variant: State.NOT_COMPARABLE if state in undecided else state
        for variant, state in metric.states.items()
    }
    return msgspec.structs.replace(metric, states=states)


def labels_words(report: Report, metric: MetricReport) -> str | None:
    """How the shares of users differ who have an outcome that counts; None where they are alike."""
    if metric.usable is None or not _differs(metric):
        return None
    shares = ", ".join(
        f"{100 * (each.share or 0):.1f} % with {version_of(report, each.variant)}"
        for each in metric.usable.variants
    )
    return (
        f"the share of users who have an outcome for {metric.name} is {shares}, so that other users are "
        "compared. Decide by an outcome that counts for all assigned users (0 for those whom a version "
        "declines), or by the shadow report, which has both versions on the same predictions"
    )


def delays_words(report: Report, metric: MetricReport) -> str | None:
    """How the shares of users differ whose outcomes arrive late; None where they are alike."""
    delays = metric.delays
    if delays is None or not delays.differ:
        return None
    when = f"more than {format_duration(delays.after_hours * 3600)} after" if delays.after_hours else "after"
    shares = ", ".join(
        f"{100 * each.late / max(each.users, 1):.1f} % with {version_of(report, each.variant)}"
        for each in delays.variants
    )
    return (
        f"of the users with an outcome for {metric.name} the share whose outcome came {when} the window is "
        f"{shares}, so that more are missing in one variant than in another. {_longer(metric)}"
    )


def unknown_delays_words(report: Report, metric: MetricReport) -> str | None:
    """Too few outcomes have come to compare how long they take; None where enough have or it is known."""
    if metric.delays is None or not metric.delays.unknown:
        return None
    few = min(metric.delays.variants, key=lambda each: each.users)
    return (
        f"outcomes for {metric.name} arrive after the user's window, and only {few.users:,} of "
        f"{JUDGED_FROM} users of {version_of(report, few.variant)} have one: whether they take as long in "
        f"every variant is not known. {_longer(metric)}"
    )


def _longer(metric: MetricReport) -> str:
    ages = [each.p95_s for each in metric.delays.variants if each.p95_s] if metric.delays else []
    longest = f": 95 % arrive within {format_duration(max(ages))}" if ages else ""
    return f"Set `arrives_within` of the metric to the hours that outcomes take in every variant{longest}"


def comparability_lines(report: Report) -> Iterator[str]:
    """Why a metric cannot be compared, for each that cannot."""
    for metric in report.metrics:
        for words_of in (labels_words, delays_words, unknown_delays_words):
            if words := words_of(report, metric):
                yield words


def is_fair(metric: MetricReport) -> bool:
    """Whether the variants have the same share of users with an outcome, which take as long to arrive, and
    with `only_where` as many requests with both answers and as many that differ.
    """
    unlike = any(each.answers_missing or each.triggers_differ for each in metric.differing.values())
    return not _differs(metric) and not _is_late(metric) and not unlike


def _differs(metric: MetricReport) -> bool:
    return metric.usable is not None and metric.usable.differ


def _is_late(metric: MetricReport) -> bool:
    return metric.delays is not None and (metric.delays.differ or metric.delays.unknown)


def _undecided(metric: MetricReport) -> tuple[State, ...]:
    """The states that a metric cannot be in. A guardrail that is violated may be wrong, and that is safe."""
    if metric.role is Role.GUARDRAIL:
        return (State.HOLDS,) if _is_late(metric) else ()
    return () if is_fair(metric) else (State.BETTER, State.WORSE)
