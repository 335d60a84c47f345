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
| `labels_differ` | other shares of the variants' users have an outcome that decides | cannot tell |
| `delays_differ` | other shares of those users have one that arrived late | cannot tell |
| `answers_missing` | requests lack an answer that the deciding metric is compared by | cannot tell |
| `triggers_differ` | more users of one variant met a request on which the versions differ | cannot tell |
| `too_few_users` | a variant has fewer than `min_users` matured users | keep running |
| `too_early` | fewer than `min_days` of the phase are over | keep running |
| `better` | a treatment decides better and all its guardrails hold: the best of those | promote |
| `not_worse` | the goal is that, a treatment is, and all its guardrails hold | promote |
| `guardrail_violated` | a treatment violates a guardrail | retire it; roll back where it is the last |
| `worse` | a treatment decides worse than the goal allows | retire it; roll back where all do |
| `no_difference` | all intervals lie within ± `min_effect` | no difference |
| `not_better` | no interval reaches `min_effect` | not better |
| `guardrail_unclear` | a treatment is good enough, and a guardrail of it does not hold yet | keep running |
| `delays_unknown` | outcomes arrive after the window, too few to compare the delays | keep running |
| `dominated` | a few users have most of what the deciding metric divides by | keep running |
| `unclear` | otherwise | keep running |
| `max_days` | to keep running, and `max_days` of the phase are over | ended |

Each sentence says first what to do, and what it takes to keep running. Retired treatments have no say. A ramp
does not wait for the minima when a guardrail is violated (`ekiben.experiments.judging.ramp`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.comparability import (
    delays_words,
    is_fair,
    labels_words,
    unknown_delays_words,
)
from ekiben.experiments.judging.differing import differing_problem
from ekiben.experiments.judging.ends import good_enough, nothing_found, run_out, too_bad
from ekiben.experiments.judging.missing import takes, until_clear, until_held
from ekiben.experiments.judging.treatments import best, gain, unsettled, violations, without_retired
from ekiben.experiments.judging.wording import (
    allowed,
    control_of,
    difference,
    dominated,
    fading_words,
    matured,
    sentence,
    version_of,
)
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.metric import MetricReport, State
from ekiben.experiments.reports.report import Decision, Report, Verdict
from ekiben.experiments.statistics.sequential import JUDGED_FROM

_ENDS: Final[Mapping[str, Decision]] = {
    Status.PROMOTED: Decision.PROMOTED,
    Status.ROLLED_BACK: Decision.ROLLED_BACK,
}


def judge(report: Report) -> Verdict:
    """The verdict on `report`, by the table above; the verdict inside the report is not looked at."""
    left = without_retired(report)
    untold = _ended(report) or _trust(left)
    return untold or _marked(run_out(left, _minima(left) or _compare(left)), left)


def violation_words(report: Report, metric: MetricReport, variant: str) -> str:
    """Which guardrail is violated, by how much, on how many users."""
    control = control_of(report)
    users = sum(each.users for each in metric.variants if each.variant in (control, variant))
    return (
        f"{difference(report, metric, variant)} on {users:,} users, worse than the {allowed(metric)} allowed"
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
    if ending is not None and report.status == Status.PROMOTED:
        treatments = report.variants[1:]
        return next((each.variant for each in treatments if each.version == ending.version), None)
    return None if metric is None else best(metric)


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
    # A violated guardrail is none of the deciding metric's, and rolls back whatever that is worth.
    return _comparable(report, metric) if not violations(report) else None


def _comparable(report: Report, metric: MetricReport) -> Verdict | None:
    for reason, words_of in (("labels_differ", labels_words), ("delays_differ", delays_words)):
        if differ := words_of(report, metric):
            return _cannot_tell(reason, differ)
    problem = differing_problem(report, metric)
    return None if problem is None else _cannot_tell(*problem)


def _minima(report: Report) -> Verdict | None:
    metric = report.deciding
    assert metric is not None
    users = matured(metric)
    if users < report.min_users:
        factor = report.min_users / users - 1 if users else 0.0
        more = factor * sum(each.users for each in metric.variants)
        words = (
            f"only {users:,} of the {report.min_users:,} users that each variant needs "
            f"have completed their {format_duration(metric.settles_hours * 3600)}"
        )
        return _keep_running("too_few_users", f"{words}. It takes {takes(report, more)}" if users else words)
    if report.days < report.min_days:
        past, least, left = (
            format_duration(days * 86_400)
            for days in (report.days, report.min_days, report.min_days - report.days)
        )
        return _keep_running("too_early", f"only {past} of at least {least} are over, {left} are left")
    return None


def _compare(report: Report) -> Verdict:
    metric = report.deciding
    assert metric is not None
    better = [variant for variant, state in metric.states.items() if state is State.BETTER]
    fair = is_fair(metric)
    enough = [variant for variant in metric.states if fair and good_enough(report, metric, variant)]
    for reason, variants in (("better", better), ("not_worse", enough)):
        if chosen := best(metric, [variant for variant in variants if not unsettled(report, variant)]):
            words = f"Promote {version_of(report, chosen)}: {difference(report, metric, chosen)}"
            words += f". {fades}" if (fades := fading_words(metric, chosen)) else ""
            return _verdict(Decision.PROMOTE, reason, words, chosen)
    if broken := violations(report):
        words = violation_words(report, *broken[0])
        return _away(report, metric, "guardrail_violated", [variant for _, variant in broken], words)
    worse = [
        variant
        for variant, state in metric.states.items()
        if state is State.WORSE and too_bad(report, metric, variant)
    ]
    if worse:
        last = len(worse) == len(metric.states)
        named = best(metric, worse) if last else min(worse, key=lambda variant: gain(metric, variant))
        assert named is not None
        return _away(report, metric, "worse", [named, *worse], difference(report, metric, named))
    if unknown := unknown_delays_words(report, metric):
        return _keep_running("delays_unknown", unknown)
    if not (better or enough) and (found := nothing_found(report, metric)):
        return found
    if good := best(metric, better or enough):
        open_ones = unsettled(report, good)
        names = ", ".join(f'"{each.name}"' for each in open_ones)
        what = f"guardrails {names} are" if len(open_ones) > 1 else f"guardrail {names} is"
        words = f"{difference(report, metric, good)}, but the {what} not settled yet"
        doubt = next(filter(None, (dominated(report, each, good) for each in open_ones)), None)
        rest = f". {until_held(report, open_ones, good)}" if doubt is None else f": {doubt}"
        return _keep_running("guardrail_unclear", words + rest)
    likeliest = best(metric)
    if likeliest is None:
        return _keep_running("unclear", "nothing is compared, which is not settled yet")
    if doubt := dominated(report, metric, likeliest):
        return _keep_running("dominated", doubt)
    words = f"{difference(report, metric, likeliest)}, which is not settled yet"
    return _keep_running("unclear", f"{words}. {until_clear(report, metric, likeliest)}")


def _away(report: Report, metric: MetricReport, reason: str, variants: list[str], words: str) -> Verdict:
    """Retire the first of these treatments; roll back where they are all that is left."""
    if set(variants) >= set(metric.states):
        return _verdict(Decision.ROLL_BACK, reason, f"Roll back: {words}")
    advice = f"Retire {version_of(report, variants[0])}"
    return _verdict(Decision.RETIRE, reason, f"{advice}: {words}", variants[0])


def _cannot_tell(reason: str, words: str) -> Verdict:
    return _verdict(Decision.CANNOT_TELL, reason, f"Cannot tell: {words}")


def _keep_running(reason: str, words: str) -> Verdict:
    return _verdict(Decision.GO_ON, reason, f"Keep running: {words}")


def _verdict(decision: Decision, reason: str, words: str, variant: str | None = None) -> Verdict:
    return Verdict(decision=decision, reason=reason, sentence=sentence(words), variant=variant)
