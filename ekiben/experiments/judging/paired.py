"""What two versions on the same predictions say, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from ekiben.experiments.kinds.label import LabelMeasure
from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.paired import DecidedOtherwise, PairedQuality
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.experiments.statistics.sequential import JUDGED_FROM

VERDICTS = {
    State.BETTER: "better on the same predictions",
    State.WORSE: "worse on the same predictions",
    State.UNCLEAR: "not known to differ on the same predictions",
    State.NO_DATA: "too few labels",
}
"""What is said of a shadow, by the state of its paired quality."""


def paired_words(report: ShadowReport, quality: PairedQuality) -> str:
    """What the labels of one outcome say: "v2 would have been better on the same 3,104 predictions: …"."""
    found = quality.compared
    labels = f"{quality.labels:,} labelled predictions of {quality.users:,} users"
    if quality.state is State.NO_DATA or found is None or found.difference is None:
        return (
            f"Too few labels for {quality.outcome} to compare {report.version} with {report.against}: "
            f"{labels}, and {JUDGED_FROM} users with both kinds of label are needed."
        )
    called = LabelMeasure(quality.measure).called
    says = {
        State.BETTER: f"{report.version} would have been better than {report.against}",
        State.WORSE: f"{report.version} would have been worse than {report.against}",
    }.get(quality.state, f"{report.version} and {report.against} are not known to differ yet")
    return (
        f"{says} on the same {labels}: {called} for {quality.outcome} of {_number(found.shadow)} in place of "
        f"{_number(found.against)} (difference {_between(found.interval)})."
    )


def unseen_words(report: ShadowReport) -> str:
    """What no label of what was served can say."""
    return (
        f"Labels exist only for what {report.against} accepted. How {report.version} does on what only it "
        "would accept is not known."
    )


def otherwise_words(report: ShadowReport, line: DecidedOtherwise) -> str:
    """What became of predictions that the shadow would decide otherwise."""
    what = (
        f"In {line.predictions:,} predictions {report.version} would decide {line.decision} and "
        f"{report.against} did not"
    )
    if line.mean is None:
        return f"{what}. None has an outcome for {line.outcome}, so what that would bring is not known."
    how = f", {_between(line.interval)}" if line.interval.low is not None else ""
    return (
        f"{what}. {line.with_outcome:,} of them have an outcome for {line.outcome}, of {_number(line.mean)} "
        f"each on average{how}. With {report.version} these would be other outcomes, or none."
    )


def shadow_lines(report: ShadowReport) -> Iterator[str]:
    """Every sentence of a shadow report that outcomes allow."""
    for quality in report.paired:
        yield paired_words(report, quality)
    if report.paired:
        yield unseen_words(report)
    for line in report.otherwise:
        yield otherwise_words(report, line)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _between(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "not known within bounds"
    return f"between {interval.low:.3g} and {interval.high:.3g}"
