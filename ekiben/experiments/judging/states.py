"""What the evidence says of one metric in one treatment so far: better, worse, holds, violated, or unclear.

A guardrail is looked at twice. It is *violated* by the interval that is shown, whose alpha is divided by all
guardrails and treatments: any of them may raise the alarm. It *holds* by an interval of its own, one-sided at
alpha divided by the treatments only (`hold_alpha`). To promote a treatment all its guardrails have to hold,
so a wrong promotion needs the wrong ones to hold too, and each may use the whole alpha: an intersection-union
test (R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982); for
guardrails M. Schultzberg, S. Ankargren, M. Frånberg, "Risk-aware product decisions in A/B tests with multiple
metrics", arXiv:2402.11609 (2024)). It is divided by the treatments because any of them may be promoted.
"""

from __future__ import annotations

from math import sqrt

from ekiben.experiments.reports.effect import Effect, Interval
from ekiben.experiments.reports.metric import Role, State
from ekiben.experiments.statistics.sequential import JUDGED_FROM, confidence_sequence


def hold_alpha(alpha: float, treatments: int) -> float:
    """The two-sided level of the interval whose one end has to be better than a guardrail's margin: one-sided
    it is `alpha` divided by the treatments.
    """
    return 2 * alpha / max(treatments, 1)


def metric_state(
    role: Role,
    better: str,
    effect: Effect,
    max_worse: float | None,
    control_mean: float | None,
    users: int,
    *,
    max_worse_by: float | None = None,
    hold_at: float | None = None,
) -> State:
    """What `effect` says so far of a metric with this role; `better` is higher or lower.

    `users` are the matured ones of the variant (control or this treatment) that has fewer. How much worse a
    guardrail may be is `max_worse_by`, in its unit, or `max_worse`, a share of the control's mean. That mean
    is estimated, so what is compared with 0 is then the contrast treatment - (1 ± max_worse) · control with
    its own standard error. `hold_at` is the level of the interval by which it holds
    (`hold_alpha`); without it, and for an effect without a standard error, that is the effect's interval.
    """
    if users < JUDGED_FROM or effect.absolute is None:
        return State.NO_DATA
    low, high = _turned(effect.interval, better)
    if role is not Role.GUARDRAIL:
        if low is not None and low > 0:
            return State.BETTER
        return State.WORSE if high is not None and high < 0 else State.UNCLEAR
    if max_worse_by is not None:
        widened, margin = 1.0, max_worse_by
    elif max_worse is None or control_mean is None:
        return State.NO_DATA
    else:
        control = control_mean if effect.control is None else effect.control.value
        share = -max_worse if (control if better != "lower" else -control) > 0 else max_worse
        widened, margin = _widening(effect, share), max_worse * abs(control)
    gain = effect.absolute if better != "lower" else -effect.absolute
    least, _ = _turned(_holding(effect, hold_at), better)
    if least is not None and gain + widened * (least - gain) > -margin:
        return State.HOLDS
    if high is not None and gain + widened * (high - gain) < -margin:
        return State.VIOLATED
    return State.UNCLEAR


def _widening(effect: Effect, share: float) -> float:
    """The standard error of treatment - (1 + share) · control, by that of treatment - control (after E. C.
    Fieller, JRSS B 16 (1954)). Its largest value where the control's own error is not known.
    """
    control = effect.control
    if control is None or not effect.std_error:
        return max(1.0, abs(1 + share))
    of_control = share**2 * control.variance - 2 * share * control.with_effect
    return sqrt(max(effect.std_error**2 + of_control, 0.0)) / effect.std_error


def _holding(effect: Effect, alpha: float | None) -> Interval:
    if alpha is None or effect.absolute is None or effect.std_error is None:
        return effect.interval
    return confidence_sequence(effect.absolute, effect.std_error, effect.users, alpha, effect.planned_users)


def _turned(interval: Interval, better: str) -> tuple[float | None, float | None]:
    """The interval's ends as gains, of which more is better."""
    low, high = interval.low, interval.high
    if better != "lower":
        return low, high
    return (None if high is None else -high), (None if low is None else -low)
