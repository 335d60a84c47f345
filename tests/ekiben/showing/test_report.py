"""What `ekiben report` prints of labels."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table

from ekiben.experiments.reports.labels import LabelQuality
from ekiben.experiments.reports.metric import MetricReport, Role
from ekiben.showing.report import classes_table, labels_table
from tests.control.dashboard.samples import Sample, class_quality, metric, quality


def label(name: str, *labels: LabelQuality) -> MetricReport:
    samples = {each.variant: Sample(each.labels, each.roc_auc or 0.0, 0.9) for each in labels}
    return metric(name, samples, kind="label", role=Role.WATCHED, labels=labels, now=0.0, days=1.0)


def printed(table: Table) -> list[list[str]]:
    """The lines of a table, each as its cells, without the title and the rule."""
    console = Console(width=200, file=StringIO())
    console.print(table)
    assert isinstance(console.file, StringIO)
    lines = console.file.getvalue().splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines if "──" not in line]


def test_a_label_has_its_positives_and_every_measure_with_its_interval() -> None:
    head, control, _ = printed(labels_table(label("repaid", *(
        quality(variant, "credit_v1:1", 3_118, 0.781, 0.3) for variant in ("control", "treatment")
    ))))  # fmt: skip
    assert head == [
        "variant", "labels", "positive", "ROC AUC", "Brier score", "Log loss", "Accuracy"
    ]  # fmt: skip
    assert control[:2] == ["control", "3,118"]
    assert control[3] == "0.7810 (0.7649 to 0.7971)"


def test_a_label_of_several_classes_has_no_positives_and_a_line_for_each_class() -> None:
    areas = {"negative": 0.7, "neutral": 0.6, "positive": 0.8}
    mood = label(
        "mood", *(class_quality(each, "mood_v1:1", 1_210, areas) for each in ("control", "treatment"))
    )
    head, control, _ = printed(labels_table(mood))
    assert head == [
        "variant", "labels", "ROC AUC", "Brier score", "Log loss", "Accuracy"
    ]  # fmt: skip
    assert control[:2] == ["control", "1,210"]
    assert control[2].startswith("0.7000 (")
    head, *lines = printed(classes_table(mood))
    assert head == [
        "class", "control, labels", "ROC AUC", "treatment, labels", "ROC AUC"
    ]  # fmt: skip
    assert [line[0] for line in lines] == list(areas)
    assert lines[1][1:3] == ["403", "0.6000 (0.5684 to 0.6316)"]
