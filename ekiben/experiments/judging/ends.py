"""The end of an experiment in which no treatment is found to be better.

`min_effect` of the metric that decides is the smallest effect that matters, δ. The intervals hold at every
look, so what they leave out may be said at any time, and no alpha is spent on it:

- no treatment's interval reaches δ: none is better by as much as matters (`not_better`);
- each interval lies within (-δ, δ): there is no difference that matters (`no_difference`);
- `max_days` are over: no difference larger than the farthest end was found (`max_days`).

With `goal: not_worse` a treatment whose interval lies above -δ is good enough (after D. J. Schuirmann, "A
comparison of the two one-sided tests procedure", Journal of Pharmacokinetics and Biopharmaceutics 15 (1987)).
"""

from __future__ import annotations

from math import sqrt
from typing import Final

from ekiben.experiments.document import Goal
from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.treatments import best, gains
from ekiben.experiments.judging.wording import amount, difference
from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.reports.metric import MetricReport
from ekiben.experiments.reports.report import Decision, Report, Verdict

KNOWN_FROM: Final = 10.0
"""So many standard errors the control's mean must be away from 0 before a share of it is an amount."""


def min_effect(metric: MetricReport) -> float | None:
    """The smallest effect that matters, in the metric's unit; None without one, and while it is a share of a
    control's mean that is not known well enough.
    """
    share = metric.min_effect_share
    if share is None:
        return metric.min_effect
    control = metric.variants[0]
    if control.mean is None or control.std is None or control.users < 1:
        return None
    far = abs(control.mean) >= KNOWN_FROM * control.std / sqrt(control.users)
    return share * abs(control.mean) if far and control.mean else None


def good_enough(report: Report, metric: MetricReport, variant: str) -> bool:
    """Whether the goal is not to be worse, and the treatment is not."""
    delta, (low, _) = min_effect(metric), gains(metric, variant)
    return report.goal == Goal.NOT_WORSE and delta is not None and low is not None and low > -delta


def too_bad(report: Report, metric: MetricReport, variant: str) -> bool:
    """Whether a treatment whose interval is wholly worse than the control is worse than the goal allows."""
    delta, (_, high) = min_effect(metric), gains(metric, variant)
    return report.goal != Goal.NOT_WORSE or (delta is not None and high is not None and high < -delta)


def nothing_found(report: Report, metric: MetricReport) -> Verdict | None:
    """The verdict that no treatment is better by as much as matters; None while one may be."""
    delta = min_effect(metric)
    ends = [gains(metric, variant) for variant in metric.effects]
    if delta is None or report.goal == Goal.NOT_WORSE or not ends:
        return None
    if not all(high is not None and high < delta for _, high in ends):
        return None
    likeliest = best(metric)
    assert likeliest is not None
    words, matters = difference(report, metric, likeliest), amount(metric, delta)
    if all(low is not None and low > -delta for low, _ in ends):
        words = f"Stop: there is no difference of {matters} or more, which is what matters. {_upper(words)}."
        return Verdict(Decision.NO_DIFFERENCE, "no_difference", words)
    way = "higher" if metric.better == "higher" else "lower"
    words = f"Stop: no treatment is {matters} {way} or more, which is what matters. {_upper(words)}."
    return Verdict(Decision.NOT_BETTER, "not_better", words)


def run_out(report: Report, verdict: Verdict) -> Verdict:
    """`verdict`, unless it is to keep running and the experiment's time is over."""
    if verdict.decision is not Decision.GO_ON or report.max_days is None or report.days < report.max_days:
        return verdict
    metric = report.deciding
    over = f"{format_duration(report.max_days * 86_400)} are over"
    largest = None if metric is None else _largest(metric)
    if metric is None or largest is None or verdict.reason not in ("unclear", "goal_unclear"):
        words = f"Stop: {over}. {_upper(verdict.why)}"
    else:
        title = kind_of(metric.kind).title(metric.name)
        words = f"Stop: {over}, and no difference larger than {amount(metric, largest)} was found in {title}."
    return Verdict(Decision.ENDED, "max_days", words)


def unknown_words(metric: MetricReport) -> str | None:
    """What `min_effect` waits for; None where it is an amount."""
    if metric.min_effect_share is None or min_effect(metric) is not None:
        return None
    return (
        f"min_effect is {100 * metric.min_effect_share:.3g} % of the control's mean, which is used once that "
        f"mean is {KNOWN_FROM:g} standard errors from 0. An amount is used at once"
    )


def _largest(metric: MetricReport) -> float | None:
    """The farthest end of any treatment's interval."""
    ends = [end for variant in metric.effects for end in gains(metric, variant)]
    known = [abs(end) for end in ends if end is not None]
    return max(known) if ends and len(known) == len(ends) else None


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]
