"""What happened to a phase: its steps, its rule, its redeployments and its end."""

from __future__ import annotations

import msgspec


class Step(msgspec.Struct, frozen=True):
    """A step of a ramp: since when its time runs, and since when coverage is what it is."""

    began: float
    widened: float


class RuleChange(msgspec.Struct, frozen=True):
    """The rule of the verdict was changed within a phase: evidence of before was judged by another."""

    at: float
    moment: str  # the same as people read it
    who: str
    lines: tuple[str, ...]  # "alpha: 0.05 → 0.1"


class Past(msgspec.Struct, frozen=True):
    """What the events do not tell of a phase: its ramp's step, its coverages so far, in percent, and how its
    rule was changed, the newest change first.
    """

    step: Step | None = None
    coverages: tuple[float, ...] = ()
    rule_changes: tuple[RuleChange, ...] = ()


class StepUsers(msgspec.Struct, frozen=True):
    """The users first exposed since the step widened coverage, by variant: those whose windows for the ramp's
    guardrails are over."""

    began: float
    matured: dict[str, int]


class Ending(msgspec.Struct, frozen=True):
    """How an experiment ended: when, by whom, why, and the version that everyone gets since."""

    at: float
    moment: str  # the same as people read it
    who: str
    why: str
    version: str


class Redeployment(msgspec.Struct, frozen=True):
    """A version that answered under another tag than before."""

    variant: str
    model_version: str
    first_at: float
    acknowledged: bool
