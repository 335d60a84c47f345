"""`plan`: how many users and days an experiment needs to find an effect, from what it has shown so far."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from ekiben.experiments.document import Experiment
from ekiben.experiments.durations import format_duration
from ekiben.experiments.reports.metric import VariantMetric
from ekiben.experiments.reports.report import Report
from ekiben.experiments.statistics.sample_size import (
    Duration,
    SampleSize,
    Spread,
    duration,
    proportion,
    sample_size,
)

# With less than this, users a day are guessed from too little.
_LEAST_DAYS: Final = 0.5


class BadPlan(ValueError):
    """The plan cannot be made; the message says what is missing or wrong."""


class SamplePlan(msgspec.Struct, frozen=True):
    """Users and days for an effect on the metric that decides. `mean` and `std` are the control's."""

    experiment: str
    metric: str
    effect: float
    relative_effect: float | None  # a share of the control's mean
    mean: float | None
    std: float
    alpha: float
    power: float
    size: SampleSize
    users_per_day: float | None
    duration: Duration | None
    sentence: str


def make_plan(
    key: str,
    experiment: Experiment,
    report: Report | None,
    effect: str,
    *,
    power: float = 0.8,
    users_per_day: float | None = None,
    mean: float | None = None,
    std: float | None = None,
) -> SamplePlan:
    """The plan for `effect`: "5%" of the control's mean, or an absolute number. Raises `BadPlan`.

    What is not given (`mean`, `std`, `users_per_day`: new users of the model a day) is taken from the report.
    """
    metric = experiment.deciding_metric
    if metric is None:
        raise BadPlan("no metric decides: declare one that is not a guardrail")
    seen = _control(report)
    mean = mean if mean is not None or seen is None else seen.mean
    std = std if std is not None or seen is None else seen.std
    if std is None:
        raise BadPlan("the report knows no standard deviation yet: give one (std), and for a share the mean")
    absolute = _absolute(effect, mean)
    users_per_day = users_per_day if users_per_day is not None else _users_per_day(report)
    share = mean if metric.kind.is_share and mean is not None and 0 < mean < 1 else None
    try:
        size = sample_size(
            absolute,
            Spread(std) if share is None else proportion(share, absolute),
            [variant.weight for variant in experiment.variants.values()],
            alpha=experiment.alpha,
            power=power,
            min_users=experiment.min_users,
            planned_users=experiment.planned_users,
        )
        takes = None
        if users_per_day is not None:
            part = experiment.coverage / 100
            takes = duration(size.users, users_per_day, part, metric.window_hours, experiment.min_days)
    except OverflowError:
        raise BadPlan(
            f"an effect of {absolute:g} is far too large or too small beside a standard deviation of {std:g}"
        ) from None
    except ValueError as error:
        raise BadPlan(str(error)) from None
    return SamplePlan(
        experiment=key,
        metric=metric.name,
        effect=absolute,
        relative_effect=absolute / abs(mean) if mean else None,
        mean=mean,
        std=std,
        alpha=experiment.alpha,
        power=power,
        size=size,
        users_per_day=users_per_day,
        duration=takes,
        sentence=_sentence(metric.name, absolute, power, size, takes, experiment.coverage),
    )


def _control(report: Report | None) -> VariantMetric | None:
    metric = report.deciding if report is not None else None
    return metric.variants[0] if metric is not None and metric.variants else None


def _absolute(effect: str, mean: float | None) -> float:
    text, relative = (effect.strip()[:-1], True) if effect.strip().endswith("%") else (effect, False)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number == 0:
        raise BadPlan(f"the effect is a share of the control's mean, such as 5%, or a number, not {effect!r}")
    if not relative:
        return number
    if not mean:
        raise BadPlan("a share of the control's mean needs that mean: give one (mean)")
    return number / 100 * abs(mean)


def _users_per_day(report: Report | None) -> float | None:
    if report is None or report.days < _LEAST_DAYS or not report.coverage:
        return None
    return sum(each.users for each in report.variants) / report.days / (report.coverage / 100)


def _sentence(
    metric: str, effect: float, power: float, size: SampleSize, takes: Duration | None, coverage: float
) -> str:
    words = (
        f"To find an effect of {effect:.4g} on {metric} with a probability of {100 * power:.3g} %, whenever "
        f"one looks, {size.users:,} users must take part ({size.fixed_users:,} if one looked only once, at "
        "the end)"
    )
    if takes is None:
        return f"{words}."
    held = ", held up by min_days" if takes.held_up_by_min_days else ""
    return f"{words}: {format_duration(takes.days * 86_400)} at a coverage of {coverage:g} %{held}."
