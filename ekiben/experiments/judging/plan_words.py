"""A plan in words."""

from __future__ import annotations

from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.plans import PlannedPart, SamplePlan
from ekiben.experiments.reports.metric import Role


def sentence_of(plan: SamplePlan) -> str:
    """The whole plan in two or three sentences."""
    return " ".join(each for each in (_asked(plan), _bottleneck(plan), _unknown(plan)) if each)


def _asked(plan: SamplePlan) -> str:
    size, chance = plan.size, f"with a probability of {100 * plan.power:.3g} %"
    holding = " and have every guardrail hold" if len(plan.parts) > 1 else ""
    if plan.days is not None:
        while_holding = " while every guardrail holds" if holding else ""
        return (
            f"In {plan.days:g} days, the smallest effect on {plan.metric} that is found {chance}"
            f"{while_holding}, whenever one looks, is {_effect(plan)}. It needs {size.users:,} users."
        )
    words = (
        f"To find an effect of {_effect(plan)} on {plan.metric} {chance}{holding}, whenever one looks, "
        f"{size.users:,} users must take part ({size.fixed_users:,} if one looked only once, at the end)"
    )
    if plan.duration is None:
        return f"{words}."
    held = ", held up by min_days" if plan.duration.held_up_by_min_days else ""
    took = format_duration(plan.duration.days * 86_400)
    return f"{words}. That takes {took} at a coverage of {plan.coverage:g} %{held}."


def _effect(plan: SamplePlan) -> str:
    relative = "" if plan.relative_effect is None else f" ({100 * plan.relative_effect:.3g} %)"
    return f"{plan.effect:.4g}{relative}"


def _bottleneck(plan: SamplePlan) -> str:
    deciding, *guardrails = plan.parts
    worst = next(each for each in plan.parts if each.name == plan.bottleneck)
    if worst.role is Role.DECIDES:
        return f"{worst.name} alone needs {worst.users:,} of them." if guardrails else ""
    words = (
        f"The guardrail {worst.name} needs {worst.users:,} of them, {deciding.name} alone {deciding.users:,}."
    )
    if worst.wider_margin is not None and worst.users_with_wider_margin is not None:
        words += (
            f" With a margin of {worst.wider_margin:.3g} in place of {worst.effect:.3g}{_of_mean(worst)} it "
            f"would need {worst.users_with_wider_margin:,}."
        )
    return words


def _of_mean(part: PlannedPart) -> str:
    if not part.mean or part.wider_margin is None:
        return ""
    wide, now = (100 * margin / abs(part.mean) for margin in (part.wider_margin, part.effect))
    return f" ({wide:.3g} % of the control's in place of {now:.3g} %)"


def _unknown(plan: SamplePlan) -> str:
    if not plan.unknown:
        return ""
    return f"Nothing is known yet of {', '.join(plan.unknown)}, which is not counted."
