"""What a change of the document opens: more users, less care, or more that is kept of people. It is worth a
second look before it is done.

A file that is half written is often a valid one: without the line `coverage: 10` everyone takes part.
"""

from __future__ import annotations

from typing import Final

from ekiben.experiments.document import Capture, Document, Experiment, Goal, Ramp, RampBegin, RampEnd
from ekiben.experiments.durations import parse_duration
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.problems import Path, Problems, below, problem

# Lower or higher is less care.
_MINIMA: Final = ("min_users", "min_days")
_LIMITS: Final = ("error_rate", "fallback_rate", "slow_rate", "latency_ms")


def widens(before: Document | None, after: Document) -> tuple[str, ...]:
    """A line for each thing in `after` that lets more users in, watches over them less, or keeps more of what
    they send, than `before`, and for each experiment that is gone.

    None is an empty store: everything in it is meant as it stands.
    """
    if before is None:
        return ()
    found: list[tuple[Path, str]] = []
    for name, model in after.models.items():
        old = before.models.get(name)
        if old is not None and old.live != model.live:
            found.append((("models", name, "live"), f"everyone outside experiments gets {model.live}"))
        if kept := _kept_more(old.capture if old is not None else None, model.capture):
            found.append((("models", name, "capture"), kept))
    gone = (key for key in before.experiments if key not in after.experiments)
    found += [(("experiments", key), "is removed") for key in gone]
    for key, new in after.experiments.items():
        found += below(("experiments", key), _wider(before.experiments.get(key), new))
    return tuple(problem(*each) for each in found)


def _kept_more(old: Capture | None, new: Capture | None) -> str | None:
    if new is None or not new.per_second:
        return None
    if old is None or not old.per_second:
        return "features of predictions are kept"
    kept = sorted(set(old.without) - set(new.without))
    return f"{', '.join(kept)} of predictions is kept" if kept else None


def _wider(old: Experiment | None, new: Experiment) -> Problems:
    if new.status is not Status.RUNNING:
        return
    if old is None or old.status is not Status.RUNNING:
        yield (), f"begins to run, with coverage {new.coverage:g}"
        if old is None:
            return
    elif new.coverage > old.coverage:
        yield ("coverage",), f"rises from {old.coverage:g} to {new.coverage:g}"
    yield from _less_care(old, new)


def _less_care(old: Experiment, new: Experiment) -> Problems:
    for name in _MINIMA:
        if getattr(new, name) < getattr(old, name):
            yield (name,), f"falls from {getattr(old, name):g} to {getattr(new, name):g}"
    if new.alpha > old.alpha:
        yield ("alpha",), f"rises from {old.alpha:g} to {new.alpha:g}"
    for name in _LIMITS:
        was, now = getattr(old.request_limits, name), getattr(new.request_limits, name)
        if now > was:
            yield ("request_limits", name), f"rises from {was:g} to {now:g}"
    yield from _wider_guardrails(old, new)
    if old.goal is not new.goal and new.goal is Goal.NOT_WORSE:
        yield ("goal",), "a treatment need not be better"
    if old.ramp is not None:
        yield from _wider_ramp(old.ramp, new.ramp)
    elif new.ramp is not None:
        yield ("ramp",), "begins"


def _wider_guardrails(old: Experiment, new: Experiment) -> Problems:
    kept = {metric.name: metric.guardrail for metric in new.metrics}
    for metric in old.metrics:
        if metric.guardrail is None:
            continue
        guardrail = kept.get(metric.name)
        if guardrail is None:
            yield ("metrics", metric.name), "is a guardrail no longer"
        else:
            for (name, was), (_, now) in zip(metric.guardrail, guardrail, strict=True):
                if now is not None and (was is None or now > was):
                    yield ("metrics", metric.name), f"may worsen by {now:g} ({name})"


def _wider_ramp(old: Ramp, new: Ramp | None) -> Problems:
    if new is None:
        yield ("ramp",), "is taken away"
        return
    if not set(old.steps) <= set(new.steps):
        yield ("ramp", "steps"), "leave out a step"
    if (parse_duration(new.every) or 0) < (parse_duration(old.every) or 0):
        yield ("ramp", "every"), f"falls from {old.every} to {new.every}"
    if new.min_users_per_step < old.min_users_per_step:
        words = f"falls from {old.min_users_per_step:,} to {new.min_users_per_step:,}"
        yield ("ramp", "min_users_per_step"), words
    judged = None if old.guardrails is None else set(old.guardrails)
    if new.guardrails is not None and (judged is None or not judged <= set(new.guardrails)):
        yield ("ramp", "guardrails"), "fewer are judged"
    if new.begin is RampBegin.AT_ONCE and old.begin is not RampBegin.AT_ONCE:
        yield ("ramp", "begin"), "it waits for no shadow"
    if new.then is RampEnd.PROMOTE and old.then is not RampEnd.PROMOTE:
        yield ("ramp", "then"), "it promotes by itself"
