"""What a report says of the requests on which versions differ, in words, and why they cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator

from ekiben.experiments.judging.wording import change, version_of
from ekiben.experiments.reports.differing import Differing
from ekiben.experiments.reports.metric import MetricReport
from ekiben.experiments.reports.report import Report

_INSTEAD = "take only_where away, and the outcomes of all requests decide"


def differing_lines(report: Report, metric: MetricReport) -> Iterator[str]:
    """What is compared, and what was found beside it: a sentence each, for each treatment."""
    for variant, each in metric.differing.items():
        if not each.control.both and not each.treatment.both:
            continue
        several = f"{version_of(report, variant)}: " if len(metric.differing) > 1 else ""
        both = _percents(each.control.share, each.treatment.share, 2)
        yield (
            f"{several}of {each.users:,} users {each.met:,} met a request on which {metric.only_where}. "
            f"These are {_percents(each.control.differing_share, each.treatment.differing_share)} of the "
            f"requests. Both versions answered {both} of them"
        )
        yield f"{several}all requests together: {change(metric, each.ordinary)}"
        if each.carry_over:
            yield (
                f"{several}carry-over: requests on which the versions agree differ as well "
                f"({change(metric, each.agreeing)}), so that all requests are compared"
            )


def differing_problem(report: Report, metric: MetricReport) -> tuple[str, str] | None:
    """The code and the words of why the requests on which versions differ cannot be compared, or None."""
    for variant, each in metric.differing.items():
        if each.answers_missing:
            return "answers_missing", _missing(report, metric, variant, each)
        if each.triggers_differ:
            return "triggers_differ", _triggers(report, metric, variant, each)
    return None


def _missing(report: Report, metric: MetricReport, variant: str, each: Differing) -> str:
    control, treatment = (version_of(report, name) for name in (each.control.variant, variant))
    return (
        f"{_share(each.control.share, 2)} of the requests with {control} and "
        f"{_share(each.treatment.share, 2)} of those with {treatment} have both versions' answers, which "
        f"{metric.name} is compared by. Find out why answers are missing "
        f"(ekiben_second_answers_lost_total), or {_INSTEAD}"
    )


def _triggers(report: Report, metric: MetricReport, variant: str, each: Differing) -> str:
    control, treatment = (version_of(report, name) for name in (each.control.variant, variant))
    return (
        f"{_share(each.control.met / each.control.users)} of the users with {control} and "
        f"{_share(each.treatment.met / each.treatment.users)} of those with {treatment} met a request on "
        f"which {metric.only_where}. Chance does that in fewer than 1 of 1,000 experiments. Find the cause, "
        f"such as users who come back more often, or {_INSTEAD}"
    )


def _percents(one: float | None, other: float | None, places: int = 1) -> str:
    """ "8.7 %" where both are written alike, else "8.7 % (control) and 8.9 %"."""
    first, second = _share(one, places), _share(other, places)
    return first if first == second else f"{first} (control) and {second} (treatment)"


def _share(share: float | None, places: int = 1) -> str:
    return "an unknown share" if share is None else f"{100 * share:.{places}f} %"
