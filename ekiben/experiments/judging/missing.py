"""What an experiment that keeps running waits for: how many users, and how long they take to come."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, inf

from ekiben.experiments.document import Goal
from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.ends import min_effect, unknown_words
from ekiben.experiments.judging.states import hold_alpha
from ekiben.experiments.judging.treatments import gain
from ekiben.experiments.reports.metric import MetricReport
from ekiben.experiments.reports.report import Report
from ekiben.experiments.statistics.sample_size import growth

_DAY_S = 86_400.0
_LEAST_DAYS = 0.5  # with less, users a day are guessed from too little


def users_a_day(report: Report) -> float | None:
    """How many users of all variants matured in the last day, or in as much of it as there was; None where
    less than half a day is known or nobody came.
    """
    metric = report.deciding
    points = next(iter(metric.series.values()), ()) if metric is not None else ()
    if len(points) >= 2 and metric is not None:
        first = next((each for each in reversed(points) if points[-1].at - each.at >= _DAY_S), points[0])
        days, more = (points[-1].at - first.at) / _DAY_S, points[-1].users - first.users
        pair = metric.variants[0].users + next(
            each.users for each in metric.variants if each.variant == next(iter(metric.series))
        )
        if days >= _LEAST_DAYS and pair:
            rate = more / days * sum(each.users for each in metric.variants) / pair
            return rate if rate > 0 else None
    rate = sum(each.users for each in report.variants) / report.days if report.days >= _LEAST_DAYS else 0.0
    return rate if rate > 0 else None


def takes(report: Report, users: float) -> str:
    """ "about 4,000 more users, 3 days at today's 1,200 a day"; the days only where that is known."""
    words = f"about {_rounded(users)} more users"
    rate = users_a_day(report)
    if rate is None:
        return words
    return f"{words}, {format_duration(users / rate * _DAY_S)} at today's {_rounded(rate)} a day"


def until_clear(report: Report, metric: MetricReport, variant: str) -> str:
    """What the metric that decides needs in this treatment, as a sentence."""
    if waits := unknown_words(metric):
        return waits
    found, delta = gain(metric, variant), min_effect(metric)
    if report.goal == Goal.NOT_WORSE and delta is not None:
        distance = abs(found + delta)
    else:
        distance = max(abs(found), 0.0 if delta is None else delta - found)
    needed = _more(report, metric, variant, distance, report.alpha / _treatments(report))
    return _sentence(report, needed, "settle it")


def until_held(report: Report, metrics: Iterable[MetricReport], variant: str) -> str:
    """What these guardrails need in this treatment, as a sentence."""
    needed = 0.0
    for metric in metrics:
        if metric.margin == 0:
            return (
                f'"{metric.name}" never holds: its max_worse is a share of the control\'s mean, which is 0. '
                "Write max_worse_by"
            )
        if metric.margin is None:
            return f'"{metric.name}" has no value yet'
        distance = gain(metric, variant) + metric.margin
        level = hold_alpha(report.alpha, _treatments(report)) if distance > 0 else _shown(report)
        needed = max(needed, _more(report, metric, variant, abs(distance), level))
    return _sentence(report, needed, "settle that")


def _more(report: Report, metric: MetricReport, variant: str, distance: float, alpha: float) -> float:
    """How many more users of all variants; infinite where nobody can say."""
    effect = metric.effects[variant]
    factor = growth(effect.std_error or 0.0, effect.users, distance, alpha, effect.planned_users)
    # Of labelled users we only know how many there are of all.
    of = report.variants if metric.labels else metric.variants
    return (factor - 1) * sum(each.users for each in of)


def _sentence(report: Report, users: float, what: str) -> str:
    if users == inf:
        return "It cannot be said yet how many users that takes"
    words = takes(report, max(users, 1.0))
    return f"{words[:1].upper()}{words[1:]}, would {what} if the effect stays as it is"


def _treatments(report: Report) -> int:
    return max(report.compared, 1)


def _shown(report: Report) -> float:
    """What one guardrail's interval may use up."""
    return report.alpha / _treatments(report) / max(len(report.guardrails), 1)


def _rounded(number: float) -> str:
    """Two digits that mean something: nobody knows more."""
    if number < 10:
        return f"{ceil(number):,}"
    step = 10 ** (len(str(int(number))) - 2)
    return f"{round(number / step) * step:,}"
