"""A guarded ramp: coverage rises by steps while the guardrails are not violated.

The checks, in this order; the first that applies gives the action, its code and its sentence:

| reason | applies when | action |
|---|---|---|
| `no_ramp` | the experiment has none | done |
| `ended` | the experiment was promoted or rolled back | done |
| `not_running` | it is a draft or paused | wait |
| `other_phase` | the report is of another phase | wait |
| `guardrail_violated` | a judged guardrail is, whatever the minima and the split say | retire, roll back |
| `srm`, `redeployed` | the comparison cannot be trusted | wait |
| `worse` | the verdict, past its minima, is that a treatment is worse | retire, roll back |
| the verdict's | the verdict is to stop, because nothing was found | roll back; done with `then: wait` |
| `waits_for_shadow` | coverage is below the first step, which waits for labels (`beginning`) | wait |
| `first_step` | coverage is below the first step | raise |
| `no_step_yet` | the report does not know the step | wait |
| `too_early` | the report does not reach past the step's duration | wait |
| `no_traffic` | nobody was exposed for a while | wait |
| `too_few_users` | of a variant too few users joined since the step began and have matured | wait |
| `next_step` | a larger step is left | raise |
| `rule_changed` | last step, the verdict is to promote, and its rule was changed in this phase | wait |
| `better` | last step, `then: promote`, and the verdict is to promote | promote |
| the verdict's | last step, `then: promote`, the verdict is to retire or roll back | retire, roll back |
| the verdict's | last step, `then: promote`, any other verdict | wait |
| `last_step` | last step, `then: wait` | done |

A step needs min_users_per_step users in each variant who were first exposed since coverage was last changed,
by the ramp or by hand, and whose windows for the ramp's guardrails are over: what was known before says
nothing of the users that the step added. Its time counts from the last change up to the report's moment: a
controller whose reports are late waits. Without an exposure for a tenth of the step's duration (at least
1 minute, at most 1 hour) it waits too: an evening's evidence is none of the night's.
Coverage between two steps, set by hand, goes on to the larger one. A violation rolls back even where the
split is wrong or a version changed: that direction is the safe one. Of several treatments only the one that
does harm is retired, and the others go on. The last one is rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from ekiben.experiments.document import Experiment, Ramp, RampEnd
from ekiben.experiments.durations import format_duration, parse_duration
from ekiben.experiments.judging.beginning import waits_for_shadow
from ekiben.experiments.judging.treatments import violations, without_retired
from ekiben.experiments.judging.verdict import (
    judge,
    redeployment_words,
    srm_words,
    violation_words,
)
from ekiben.experiments.judging.wording import sentence, version_of
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.metric import MetricReport
from ekiben.experiments.reports.report import Decision, Report, Verdict
from ekiben.experiments.reports.shadow import ShadowReport

_QUIET_LEAST_S: Final = 60.0
_QUIET_MOST_S: Final = 3600.0


class RampKind(StrEnum):
    """What a ramp does next."""

    WAIT = "wait"
    RAISE = "raise"
    ROLL_BACK = "roll_back"
    RETIRE = "retire"
    PROMOTE = "promote"
    DONE = "done"


_ACTED_ON: Final[Mapping[Decision, RampKind]] = {
    Decision.PROMOTE: RampKind.PROMOTE,
    Decision.RETIRE: RampKind.RETIRE,
    Decision.ROLL_BACK: RampKind.ROLL_BACK,
}


class RampAction(msgspec.Struct, frozen=True):
    """What to do, the coverage in percent that it leads to, why in one word and in one sentence."""

    kind: RampKind
    coverage: float
    reason: str
    sentence: str
    variant: str | None = None  # the treatment to promote or to retire


def next_action(
    experiment: Experiment, report: Report, now: float, shadows: Sequence[ShadowReport] = ()
) -> RampAction:
    """What the ramp of `experiment` does on the evidence of `report`, by the table above.

    `now` is the present, in seconds since 1970. `shadows` are the reports of what shadows the model now.
    """
    here = experiment.coverage
    ramp, report = experiment.ramp, without_retired(report)
    if ramp is None:
        return _action(RampKind.DONE, here, "no_ramp", "no ramp is set")
    if experiment.status in (Status.PROMOTED, Status.ROLLED_BACK):
        words = f"the experiment is {experiment.status.replace('_', ' ')}"
        return _action(RampKind.DONE, here, "ended", words)
    if experiment.status is not Status.RUNNING:
        words = f"no step while the experiment is {experiment.status}"
        return _action(RampKind.WAIT, here, "not_running", words)
    if report.phase != experiment.phase:
        return _action(RampKind.WAIT, here, "other_phase", "no step before there is a report of this phase")
    if broken := violations(report, ramp.guardrails):
        return _away(report, here, broken)
    for reason, why in (("srm", srm_words(report)), ("redeployed", redeployment_words(report))):
        if why is not None:
            return _action(RampKind.WAIT, here, reason, why)
    verdict = judge(report)
    if verdict.reason == "worse" or verdict.stops:
        return _acts(verdict, ramp, here)
    if here < ramp.steps[0] and (why := waits_for_shadow(experiment, shadows)):
        return _action(RampKind.WAIT, here, "waits_for_shadow", f"the first step waits for the shadow: {why}")
    return _climb(experiment, ramp, report, min(now, report.at))


def _climb(experiment: Experiment, ramp: Ramp, report: Report, known_until: float) -> RampAction:
    here, steps = experiment.coverage, ramp.steps
    number = sum(step <= here for step in steps)
    if number == 0:
        words = f"the ramp begins with {steps[0]:g} % of users"
        return _action(RampKind.RAISE, steps[0], "first_step", words)
    where = f"step {number} of {len(steps)} ({here:g} %)"
    if report.step is None:
        words = f"{where} begins, and there is no report of it yet"
        return _action(RampKind.WAIT, here, "no_step_yet", words)
    every_s = parse_duration(ramp.every) or 0
    left_s = every_s - max(known_until - report.step.began, 0.0)
    if left_s > 0:
        words = f"{where} lasts {ramp.every}, {format_duration(left_s)} are left"
        return _action(RampKind.WAIT, here, "too_early", words)
    quiet_s = report.at - (report.last_exposure_at or 0.0)
    if quiet_s > min(max(every_s / 10, _QUIET_LEAST_S), _QUIET_MOST_S):
        seen = f"for {format_duration(quiet_s)}" if report.last_exposure_at is not None else "yet"
        words = f"{where} waits for traffic. No user has been exposed {seen}"
        return _action(RampKind.WAIT, here, "no_traffic", words)
    users, variant = min((users, variant) for variant, users in report.step.matured.items())
    if users < ramp.min_users_per_step:
        words = (
            f"{where} waits for {ramp.min_users_per_step - users:,} users: "
            f"{version_of(report, variant)} has {users:,} of {ramp.min_users_per_step:,} "
            "who joined in this step and whose window has closed"
        )
        return _action(RampKind.WAIT, here, "too_few_users", words)
    if number < len(steps):
        words = f"{where} is over and no guardrail is violated, so coverage rises to {steps[number]:g} %"
        return _action(RampKind.RAISE, steps[number], "next_step", words)
    return _end(ramp, report, here, where)


def _end(ramp: Ramp, report: Report, here: float, where: str) -> RampAction:
    """What follows the last step, which `where` names."""
    verdict = judge(report)
    if ramp.then is not RampEnd.PROMOTE:
        words = f"{where} is over. The ramp ends and a person decides"
        return RampAction(RampKind.DONE, here, "last_step", f"{sentence(words)} {verdict.sentence}")
    if verdict.decision is Decision.PROMOTE and report.rule_changes:
        words = f"{where} waits for a person, because the rule was changed in this phase"
        return RampAction(RampKind.WAIT, here, "rule_changed", f"{sentence(words)} {verdict.sentence}")
    if verdict.decision in _ACTED_ON:
        return _acts(verdict, ramp, here)
    words = f"{where} waits for a verdict"
    return RampAction(RampKind.WAIT, here, verdict.reason, f"{sentence(words)} {verdict.sentence}")


def _away(report: Report, here: float, broken: list[tuple[MetricReport, str]]) -> RampAction:
    """Retire the first treatment that violates a guardrail; roll back where all that is left do."""
    metric, variant = broken[0]
    words = violation_words(report, metric, variant)
    if {each for _, each in broken} >= {each.variant for each in report.variants[1:]}:
        return _action(RampKind.ROLL_BACK, here, "guardrail_violated", f"rolled back: {words}")
    words = sentence(f"{version_of(report, variant)} is retired: {words}")
    return RampAction(RampKind.RETIRE, here, "guardrail_violated", words, variant)


def _acts(verdict: Verdict, ramp: Ramp, here: float) -> RampAction:
    """What a verdict that decides is turned into."""
    kind = _ACTED_ON.get(verdict.decision, RampKind.ROLL_BACK)
    if verdict.stops and ramp.then is not RampEnd.PROMOTE:
        kind = RampKind.DONE
    return RampAction(kind, here, verdict.reason, verdict.sentence, verdict.variant)


def _action(kind: RampKind, coverage: float, reason: str, words: str) -> RampAction:
    return RampAction(kind, coverage, reason, sentence(words))
