"""The words that the pages have for what the report names in code."""

from __future__ import annotations

from typing import Any, Final

from ekiben.experiments.document import RampBegin, RampEnd
from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Decision

TONES: Final = {
    Decision.PROMOTE: "good",
    Decision.ROLL_BACK: "bad",
    Decision.RETIRE: "bad",
    Decision.NO_DIFFERENCE: "warn",
    Decision.NOT_BETTER: "warn",
    Decision.ENDED: "warn",
    Decision.GO_ON: "accent",
    Decision.CANNOT_TELL: "warn",
    Decision.PROMOTED: "good",
    Decision.ROLLED_BACK: "idle",
}
"""Each decision's tone."""

STATES: Final = {
    State.BETTER: ("better", "good"),
    State.WORSE: ("worse", "bad"),
    State.HOLDS: ("holds", "good"),
    State.VIOLATED: ("violated", "bad"),
    State.UNCLEAR: ("not clear yet", "accent"),
    State.NO_DATA: ("no data yet", "idle"),
    State.NOT_COMPARABLE: ("not comparable", "warn"),
    State.DOMINATED: ("a few users dominate", "idle"),
}
"""What the evidence says of a metric, and its tone."""

STATUSES: Final = {
    Status.DRAFT: ("draft", "idle"),
    Status.RUNNING: ("running", "accent"),
    Status.PAUSED: ("paused", "warn"),
    Status.PROMOTED: ("promoted", "good"),
    Status.ROLLED_BACK: ("rolled back", "bad"),
}

BREAKERS: Final = {
    "closed": ("closed", "good"),
    "returning": ("returning", "warn"),
    "trial": ("on trial", "warn"),
    "open": ("open", "bad"),
}

CHOICES: Final[dict[Any, str]] = {
    RampBegin.AT_ONCE: "when it starts",
    RampBegin.WHEN_SHADOW_IS_NOT_WORSE: "when the shadow is not worse on the same predictions",
    RampEnd.WAIT: "wait for a person",
    RampEnd.PROMOTE: "promote by itself, if the verdict says so",
}
"""What forms offer to choose from."""


def metric(name: str, kind: str) -> str:
    """What the pages call a metric: its own name, and a phrase for those that nobody declared."""
    return kind_of(kind).heading(name)


def treatments(count: int) -> str:
    """ "treatment" or "treatments"."""
    return "treatment" if count == 1 else "treatments"
