"""The verdict: what to do with an experiment, from its report alone.

The checks, in this order; the first that applies gives the verdict, its code and its sentence:

| reason | applies when | decision |
|---|---|---|
| `not_started` | the experiment is a draft | cannot tell |
| `ended` | it was promoted or rolled back: what was done, when, and the last effect | promoted, rolled back |
| `srm` | the split is not what was asked | cannot tell |
| `redeployed` | a version changed in the middle and nobody has acknowledged it | cannot tell |
| `no_deciding_metric` | every metric is a guardrail | cannot tell |
| `no_outcomes` | `JUDGED_FROM` users matured in each variant, and not one outcome | cannot tell |
| `too_few_users` | a variant has fewer than `min_users` matured users | keep running |
| `too_early` | fewer than `min_days` of the phase are over | keep running |
| `better` | a treatment decides better and all its guardrails hold: the best of those | promote |
| `guardrail_violated` | a treatment violates a guardrail | roll back |
| `worse` | every treatment decides worse | roll back |
| `guardrail_unclear` | a treatment decides better, and a guardrail of it does not hold yet | keep running |
| `unclear` | otherwise | keep running |

Each sentence says first what to do. A ramp does not wait for the minima when a guardrail is violated
(`ekiben.experiments.judging.ramp`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.wording import (
    allowed,
    control_of,
    difference,
    fading_words,
    matured,
    sentence,
    version_of,
)
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.effect import Effect
from ekiben.experiments.reports.metric import MetricReport, Role, State
from ekiben.experiments.reports.report import Decision, Report, Verdict
from ekiben.experiments.statistics.sequential import JUDGED_FROM

_ENDS: Final[Mapping[str, Decision]] = {
    Status.PROMOTED: Decision.PROMOTED,
    Status.ROLLED_BACK: Decision.ROLLED_BACK,
}


def metric_state(
    role: Role, better: str, effect: Effect, max_worse: float | None, control_mean: float | None, users: int
) -> State:
    """What `effect` says so far of a metric with this role; `better` is higher or lower.

    `users` are the matured ones of the variant (control or this treatment) that has fewer. `max_worse` is
    the share of the control's mean by which a guardrail may be worse; for a guardrail of requests it is
    absolute: pass a control_mean of 1. The margin is estimated as the control's mean is, so the interval is
    widened around the effect by what that can add to the contrast treatment - (1 ± max_worse) · control.
    """
    low, high = effect.interval.low, effect.interval.high
    if users < JUDGED_FROM or effect.absolute is None:
        return State.NO_DATA
    if better == "lower":
        low, high = (None if high is None else -high), (None if low is None else -low)
    if role is not Role.GUARDRAIL:
        if low is not None and low > 0:
            return State.BETTER
        return State.WORSE if high is not None and high < 0 else State.UNCLEAR
    if max_worse is None or control_mean is None:
        return State.NO_DATA
    gain = effect.absolute if better != "lower" else -effect.absolute
    control = control_mean if better != "lower" else -control_mean
    # The contrast is treatment - kept · control; its variance is at most max(1, kept²) times the effect's.
    kept = 1 - max_worse if control > 0 else 1 + max_worse
    widened, margin = max(1.0, abs(kept)), max_worse * abs(control_mean)
    if low is not None and gain + widened * (low - gain) > -margin:
        return State.HOLDS
    if high is not None and gain + widened * (high - gain) < -margin:
        return State.VIOLATED
    return State.UNCLEAR


def judge(report: Report) -> Verdict:
    """The verdict on `report`, by the table above; the verdict inside the report is not looked at."""
    return _ended(report) or _trust(report) or _minima(report) or _marked(_compare(report), report)


def violations(report: Report, names: Sequence[str] | None = None) -> list[tuple[MetricReport, str]]:
    """The guardrails (of these names; all without names) that a treatment violates, each with it."""
    return [
        (metric, variant)
        for metric in report.guardrails
        if names is None or metric.name in names
        for variant, state in metric.states.items()
        if state is State.VIOLATED
    ]


def violation_words(report: Report, metric: MetricReport, variant: str) -> str:
    """Which guardrail is violated, by how much, on how many users."""
    control = control_of(report)
    control_mean = next((each.mean for each in metric.variants if each.variant == control), None)
    users = sum(each.users for each in metric.variants if each.variant in (control, variant))
    return (
        f"{difference(report, metric, variant)} on {users:,} users, "
        f"worse than the {allowed(metric, control_mean)} allowed"
    )


def rule_words(report: Report) -> str | None:
    """How the rule was changed last in the middle of the phase; None when it was not."""
    if not report.rule_changes:
        return None
    last, more = report.rule_changes[0], len(report.rule_changes) - 1
    words = f"its rule was changed on {last.moment} by {last.who} ({'; '.join(last.lines)})"
    if more:
        words += f" and {more:,} {'times' if more > 1 else 'time'} before"
    return f"{words}. Evidence from before the change was judged by another rule"


def redeployment_words(report: Report) -> str | None:
    """Which version changed without anybody acknowledging it; None when none did."""
    for change in report.redeployments:
        if not change.acknowledged:
            return (
                f"{version_of(report, change.variant)} changed to {change.model_version} during the phase. "
                "Acknowledge it if that changes nothing, otherwise begin a new phase"
            )
    return None


def srm_words(report: Report) -> str | None:
    """How the split differs from what was asked; None when it does not."""
    if report.srm is None or not report.srm.mismatch:
        return None
    parts = [
        f"{100 * (each.share_seen or 0):.2f} % to {version_of(report, each.variant)} instead of "
        f"{100 * each.share_asked:.2f} %"
        for each in report.variants
    ]
    return (
        f"the split is {', '.join(parts)}. Chance does that in fewer than 1 of "
        f"{1 / report.srm.threshold:,.0f} experiments. Find the cause before comparing anything"
    )


def _marked(verdict: Verdict, report: Report) -> Verdict:
    """With a word on a rule that was changed in the middle."""
    changed = rule_words(report)
    if changed is None:
        return verdict
    return msgspec.structs.replace(verdict, sentence=f"{verdict.sentence} {sentence(changed)}")


def _ended(report: Report) -> Verdict | None:
    if report.status not in _ENDS:
        return None
    ending = report.ending
    promoted = report.status == Status.PROMOTED
    version = ending.version if ending is not None else "a treatment"
    what = f"{version} was promoted" if promoted else "the experiment was rolled back"
    if ending is not None:
        what += f" on {ending.moment} by {ending.who}"
    words = sentence(what)
    metric, variant = report.deciding, _ended_with(report)
    if metric is not None and variant is not None and metric.effects[variant].absolute is not None:
        words += f" {sentence(difference(report, metric, variant))}"
    return Verdict(_ENDS[report.status], "ended", words, variant if promoted else None)


def _ended_with(report: Report) -> str | None:
    """The treatment that was promoted; else the one that looked best."""
    metric, ending = report.deciding, report.ending
    treatments = report.variants[1:]
    if ending is not None and report.status == Status.PROMOTED:
        return next((each.variant for each in treatments if each.version == ending.version), None)
    if metric is None or not metric.effects:
        return None
    return max(metric.effects, key=lambda variant: _gain(metric, variant))


def _trust(report: Report) -> Verdict | None:
    if report.status == Status.DRAFT:
        return _cannot_tell("not_started", "the experiment has not been started")
    if mismatch := srm_words(report):
        return _cannot_tell("srm", mismatch)
    if change := redeployment_words(report):
        return _cannot_tell("redeployed", change)
    metric = report.deciding
    if metric is None:
        return _cannot_tell("no_deciding_metric", "no metric decides. Declare one that is not a guardrail")
    users = matured(metric)
    if users >= JUDGED_FROM and all(not each.mean and not each.std for each in metric.variants):
        words = f"no outcome for {metric.name} counts for any of the {users:,} users in each variant"
        outcomes = [each for each in report.left_out if each.what == "outcomes"]
        if outcomes:
            most, total = max(outcomes, key=lambda each: each.count), sum(each.count for each in outcomes)
            words += f". {total:,} are left out, {most.count:,} of them as {most.reason}"
        return _cannot_tell("no_outcomes", words)
    return None


def _minima(report: Report) -> Verdict | None:
    metric = report.deciding
    assert metric is not None
    users = matured(metric)
    if users < report.min_users:
        words = (
            f"only {users:,} of the {report.min_users:,} users that each variant needs "
            f"have completed their {format_duration(metric.window_hours * 3600)}"
        )
        return _keep_running("too_few_users", words)
    if report.days < report.min_days:
        past, least = (format_duration(days * 86_400) for days in (report.days, report.min_days))
        return _keep_running("too_early", f"only {past} of at least {least} are over")
    return None


def _compare(report: Report) -> Verdict:
    metric = report.deciding
    assert metric is not None
    better = [variant for variant, state in metric.states.items() if state is State.BETTER]
    good = [variant for variant in better if not _unsettled(report, variant)]
    if good:
        best = max(good, key=lambda variant: _gain(metric, variant))
        words = f"Promote {version_of(report, best)}: {difference(report, metric, best)}"
        words += f". {fades}" if (fades := fading_words(metric, best)) else ""
        return _verdict(Decision.PROMOTE, "better", words, best)
    if broken := violations(report):
        words = f"Roll back: {violation_words(report, *broken[0])}"
        return _verdict(Decision.ROLL_BACK, "guardrail_violated", words)
    if metric.states and all(state is State.WORSE for state in metric.states.values()):
        least = max(metric.states, key=lambda variant: _gain(metric, variant))
        return _verdict(Decision.ROLL_BACK, "worse", f"Roll back: {difference(report, metric, least)}")
    if better:
        best = max(better, key=lambda variant: _gain(metric, variant))
        names = [f'"{each.name}"' for each in _unsettled(report, best)]
        open_ones = f"guardrails {', '.join(names)} are" if len(names) > 1 else f"guardrail {names[0]} is"
        words = f"{difference(report, metric, best)}, but the {open_ones} not settled yet"
        return _keep_running("guardrail_unclear", words)
    likeliest = max(metric.states, key=lambda variant: _gain(metric, variant), default=None)
    words = difference(report, metric, likeliest) if likeliest is not None else "nothing is compared"
    return _keep_running("unclear", f"{words}, which is not settled yet")


def _unsettled(report: Report, variant: str) -> list[MetricReport]:
    """The guardrails that do not hold for `variant`."""
    return [metric for metric in report.guardrails if metric.states.get(variant) is not State.HOLDS]


def _gain(metric: MetricReport, variant: str) -> float:
    absolute = metric.effects[variant].absolute or 0.0
    return -absolute if metric.better == "lower" else absolute


def _cannot_tell(reason: str, words: str) -> Verdict:
    return _verdict(Decision.CANNOT_TELL, reason, f"Cannot tell: {words}")


def _keep_running(reason: str, words: str) -> Verdict:
    return _verdict(Decision.GO_ON, reason, f"Keep running: {words}")


def _verdict(decision: Decision, reason: str, words: str, variant: str | None = None) -> Verdict:
    return Verdict(decision=decision, reason=reason, sentence=sentence(words), variant=variant)
