"""`ekiben shadows`: shadow versions beside what was served, as sentences and tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ekiben.experiments.judging.paired import VERDICTS, shadow_lines
from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.reports.paired import PairedQuality
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.terminal.tables import NONE, plain_table


def show_shadows(console: Console, model: str, reports: Sequence[ShadowReport]) -> None:
    """Print what is known of each pair of a shadow and a version that was served."""
    if not reports:
        console.print(f"{model}: no answer of a shadow version has been compared yet")
    for place, report in enumerate(reports):
        if place:
            console.print()
        agree = NONE if report.agreement is None else f"{100 * report.agreement:.1f} %"
        console.print(
            f"{report.version} beside {report.against}: {report.compared:,} answers of the last days, "
            f"same decision in {agree}",
            soft_wrap=True,
        )
        for line in shadow_lines(report):
            console.print(line, soft_wrap=True)
        for quality in report.paired:
            console.print()
            console.print(paired_table(report, quality))


def paired_table(report: ShadowReport, quality: PairedQuality) -> Table:
    """Every measure of both versions on the same predictions."""
    table = plain_table(f"{quality.outcome}: {VERDICTS[quality.state]}")
    for name in ("measure", report.against, report.version, "difference", "interval"):
        table.add_column(name, justify="left" if name == "measure" else "right")
    for each in quality.measures:
        low, high = each.interval.low, each.interval.high
        table.add_row(
            LabelMeasure(each.measure).called,
            _number(each.against),
            _number(each.shadow),
            NONE if each.difference is None else f"{each.difference:+.4f}",
            "not known yet" if low is None or high is None else f"{low:+.4f} to {high:+.4f}",
        )
    return table


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"
