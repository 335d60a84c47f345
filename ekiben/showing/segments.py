"""A report's breakdown by an attribute, as a table."""

from __future__ import annotations

from rich.table import Table

from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.segments import Breakdown
from ekiben.showing.values import interval_of, level_of
from ekiben.terminal.tables import plain_table


def breakdown_table(report: Report, breakdown: Breakdown) -> Table:
    """The effect on what decides in each segment, and on other metrics where it is called better or worse."""
    table = plain_table(f"by {breakdown.attribute}, as the first request said it: treatment minus control")
    for name in (breakdown.attribute, "metric", "treatment"):
        table.add_column(name)
    for name in ("matured users", "effect", "interval"):
        table.add_column(name, justify="right")
    table.add_column("so far")
    metrics = {metric.name: metric for metric in report.metrics}
    main = report.deciding.name if report.deciding is not None else None
    for segment in breakdown.segments:
        for each in segment.effects:
            if each.metric == main or each.state in (State.BETTER, State.WORSE):
                metric = metrics[each.metric]
                table.add_row(
                    segment.title,
                    each.metric,
                    each.variant,
                    f"{each.users:,}",
                    level_of(metric, each.effect.absolute, signed=True),
                    interval_of(metric, each.effect.interval),
                    str(each.state).replace("_", " "),
                )
    return table
