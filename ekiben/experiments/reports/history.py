"""What is known of a model's users under the version that serves them: what a plan is made from."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ekiben.experiments.reports.metric import VariantMetric
from ekiben.experiments.reports.report import Report

# With less than this, users a day are guessed from too little.
_LEAST_DAYS = 0.5


class MetricHistory(msgspec.Struct, frozen=True):
    """A metric among `users` users: its value (`mean`) and `std` between users. None is not known."""

    users: int
    mean: float | None
    std: float | None
    p99: float | None = None  # of the users' values without their sign
    beyond_p99: float | None = None  # the share that values beyond it have in the sum of squares


class History(msgspec.Struct, frozen=True):
    """Users under one version. `users_per_day` are new users of the model, with whatever coverage."""

    source: str  # where that is known from, for people
    metrics: Mapping[str, MetricHistory] = {}  # by the metric's name, those of requests too
    users_per_day: float | None = None
    missing: str = ""  # what to do so that more is known

    def with_more(self, other: History) -> History:
        """This history, with what only the other one knows."""
        more = {name: each for name, each in other.metrics.items() if not _is_known(self.metrics.get(name))}
        if not more and self.users_per_day is not None:
            return self
        per_day = other.users_per_day if self.users_per_day is None else self.users_per_day
        sources = [each for each in (self.source, other.source) if each]
        return History(" and ".join(sources), {**self.metrics, **more}, per_day, other.missing)


def history_of(report: Report | None) -> History:
    """What the control of a report tells; nothing without a report."""
    if report is None:
        return History("")
    found = {}
    for metric in report.metrics:
        control = metric.variants[0] if metric.variants else None
        if control is not None and control.std is not None:
            found[metric.name] = _of(control)
    per_day = None
    if report.days >= _LEAST_DAYS and report.coverage:
        per_day = sum(each.users for each in report.variants) / report.days / (report.coverage / 100)
    return History("the control of the last report" if found else "", found, per_day)


def users_per_day(users: float, days: float) -> float | None:
    """New users a day; None where too few days say it."""
    return users / days if users and days >= _LEAST_DAYS else None


def _of(control: VariantMetric) -> MetricHistory:
    return MetricHistory(control.users, control.mean, control.std)


def _is_known(metric: MetricHistory | None) -> bool:
    return metric is not None and metric.std is not None
