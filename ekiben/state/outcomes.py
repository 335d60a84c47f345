"""An outcome as clients and files give it: its fields, their limits, and what is wrong with one."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from ekiben.state.user import MAX_USER_ID_CHARS

MAX_NAME_CHARS: Final = 100
MAX_ID_CHARS: Final = 128
MAX_VALUE: Final = 1e30
"""Beyond, sums of squares and what is computed of them leave floating point: one value would end a report."""
# Clocks differ; an outcome of tomorrow is a mistake.
_MAX_AHEAD_S: Final = 300.0

_FIELDS: Final = frozenset({"prediction_id", "user_id", "name", "value", "at", "id"})
_UNKNOWN: Final = "unknown field: an outcome has prediction_id, user_id, name, value, at, id"
_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_Wrong = Callable[[str | None, str], None]


class GivenOutcome(msgspec.Struct, frozen=True, gc=False):
    """An observed value: of a prediction or of a user, `at` seconds since 1970, `id` the client's own,
    behind its key's name and a colon where it has a key."""

    prediction_id: str | None
    user_id: str | None
    name: str
    value: float
    at: float
    id: str | None = None


class BadOutcome(ValueError):
    """What is wrong with an outcome: pairs of a field, or None for the whole, and a message."""

    def __init__(self, errors: list[tuple[str | None, str]]) -> None:
        super().__init__("; ".join(": ".join(filter(None, error)) for error in errors))
        self.errors = errors


def read_outcome(item: Any, now: float) -> GivenOutcome:
    """Read one outcome of parsed JSON; `now` (seconds since 1970) is its time where it names none.

    Raises `BadOutcome`.
    """
    errors: list[tuple[str | None, str]] = []

    def wrong(field: str | None, message: str) -> None:
        errors.append((field, message))

    if type(item) is not dict:
        raise BadOutcome([(None, "an outcome must be an object")])
    if not item.keys() <= _FIELDS:
        unknown = next(field for field in item if field not in _FIELDS)
        wrong(unknown[:100], _UNKNOWN)
    if ("prediction_id" in item) == ("user_id" in item):
        wrong(None, "give either `prediction_id` or `user_id`")
    prediction_id = _text(item, "prediction_id", MAX_ID_CHARS, wrong)
    user_id = _text(item, "user_id", MAX_USER_ID_CHARS, wrong)
    if "name" not in item:
        wrong("name", "`name` is missing")
    name = _text(item, "name", MAX_NAME_CHARS, wrong)
    outcome_id = _text(item, "id", MAX_ID_CHARS, wrong)
    value = _value(item, wrong)
    at = _at(item, now, wrong)
    if errors:
        raise BadOutcome(errors)
    assert name is not None
    return GivenOutcome(prediction_id, user_id, name, value, at, outcome_id)


def _text(item: dict[str, Any], field: str, most: int, wrong: _Wrong) -> str | None:
    if field not in item:
        return None
    value = item[field]
    if type(value) is not str:
        wrong(field, "must be a string")
    elif not 0 < len(value) <= most:
        wrong(field, f"must have 1 to {most} characters")
    else:
        return value
    return None


def _value(item: dict[str, Any], wrong: _Wrong) -> float:
    if "value" not in item:
        wrong("value", "`value` is missing")
        return 0.0
    value = item["value"]
    # bool is an int in Python, and no number in JSON.
    if type(value) not in (int, float) or not abs(value) < math.inf:
        wrong("value", "must be a finite number")
        return 0.0
    if abs(value) > MAX_VALUE:
        wrong("value", f"must lie between {-MAX_VALUE:g} and {MAX_VALUE:g}")
        return 0.0
    return float(value)


def _at(item: dict[str, Any], now: float, wrong: _Wrong) -> float:
    if "at" not in item:
        return now
    text = item["at"]
    try:
        if type(text) is not str:
            raise ValueError
        at = msgspec.convert(text, _Time).timestamp()
    except (ValueError, OverflowError):
        wrong("at", "must be a time as RFC 3339 has it, such as 2026-11-21T10:00:00Z")
        return now
    if at > now + _MAX_AHEAD_S:
        wrong("at", "lies more than 5 minutes in the future")
    return at
