"""What is recorded: a struct a kind. In blocks, in files and in tables a field has the same name.

Releases differ, and read each other's blocks and files, as long as three rules hold:

1. Every kind has the fields of `Event`.
2. A field is only added, with None as its default. None is renamed, and none changes its type or its meaning.
3. A change that cannot keep to this gets a kind of its own.

In the code's hot path events are made by position, because by name it takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What every kind has. An event names a prediction or a user, or both."""

    event_id: str
    at: float  # seconds since 1970, UTC
    prediction_id: str | None = None
    user_hash: str | None = None


class Served(Event, frozen=True, gc=False):
    """What became of a prediction request. The answer's fields are None where there was none, those of the
    assignment outside experiments."""

    model: str | None = None
    version: str | None = None  # that answered
    model_version: str | None = None
    experiment: str | None = None
    variant: str | None = None
    phase: int | None = None
    revision: int | None = None  # of the experiments document
    assigned_by: str | None = None  # hash | override
    result: str | None = None  # served | fallback | refused | error
    status: int | None = None  # HTTP's
    cached: bool | None = None
    score: float | None = None
    scores: tuple[float, ...] | None = None  # of an answer that has several
    decision: str | None = None
    latency_ms: float | None = None
    attributes: str | None = None  # what the client says of the user: a flat JSON object


class Exposure(Served, frozen=True, gc=False):
    """A request that an experiment assigned, served or not."""


class Prediction(Served, frozen=True, gc=False):
    """One of a sample of all requests. `depth` names the sample: "features" or "scores".

    `weight` is how many requests it stands for: those of a depth add up to all requests. None where that is
    not known. The depth "unanswered" is no sample: these are requests of which an experiment lacks the answer
    of the version `unanswered_by`.
    """

    depth: str | None = None
    weight: float | None = None
    features: str | None = None  # JSON, without the names that the document leaves out
    unanswered_by: str | None = None


class ShadowAnswer(Event, frozen=True, gc=False):
    """A second version's answer beside the one that was served (`against`): a shadow's, or the other one that
    an experiment compares."""

    model: str | None = None
    version: str | None = None  # the shadow
    model_version: str | None = None
    revision: int | None = None
    cached: bool | None = None
    score: float | None = None
    decision: str | None = None
    latency_ms: float | None = None
    agreed: bool | None = None
    against: str | None = None  # the version that was served
    against_model_version: str | None = None
    against_score: float | None = None
    against_latency_ms: float | None = None
    scores: tuple[float, ...] | None = None
    against_scores: tuple[float, ...] | None = None
    experiment: str | None = None  # whose metrics compare the two answers (`only_where`)
    phase: int | None = None
    against_decision: str | None = None


class Outcome(Event, frozen=True, gc=False):
    """What happened afterwards, as a client or a file reported it. `at` is when it happened."""

    name: str | None = None
    value: float | None = None
    id_hint: str | None = None  # what may be wrong with the user's id: `ekiben.state.user.id_hint`


KINDS: Final[Mapping[str, type[Event]]] = {
    "exposure": Exposure,
    "prediction": Prediction,
    "shadow": ShadowAnswer,
    "outcome": Outcome,
}
"""Every kind that this release records, by its name in blocks and folders."""
