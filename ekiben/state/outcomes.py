"""An outcome as clients and files give it: its fields, their limits, and what is wrong with one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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

_UNKNOWN: Final = "unknown field: an outcome has prediction_id, user_id, name, value, at, id"
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


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
    if type(item) is not dict:
        raise BadOutcome([(None, "an outcome must be an object")])
    errors: list[tuple[str | None, str]] = []
    if not item.keys() <= _FIELDS.keys():
        unknown = next(field for field in item if field not in _FIELDS)
        errors.append((unknown[:100], _UNKNOWN))
    if ("prediction_id" in item) == ("user_id" in item):
        errors.append((None, "give either `prediction_id` or `user_id`"))
    found: dict[str, Any] = {"prediction_id": None, "user_id": None, "at": now}
    for field, (read, most) in _FIELDS.items():
        if field in item:
            try:
                found[field] = read(item[field], most, now)
            except ValueError as error:
                errors.append((field, str(error)))
        elif field in ("name", "value"):
            errors.append((field, f"`{field}` is missing"))
    if errors:
        raise BadOutcome(errors)
    return GivenOutcome(**found)


def _text(value: Any, most: int, _now: float) -> str:
    if type(value) is not str:
        raise ValueError("must be a string")
    if not 0 < len(value) <= most:
        raise ValueError(f"must have 1 to {most} characters")
    return value


def _number(value: Any, most: float, _now: float) -> float:
    # bool is an int in Python, and no number in JSON.
    if type(value) not in (int, float) or not abs(value) < math.inf:
        raise ValueError("must be a finite number")
    if abs(value) > most:
        raise ValueError(f"must lie between {-most:g} and {most:g}")
    return float(value)


def _time(value: Any, most_ahead_s: float, now: float) -> float:
    try:
        at = msgspec.convert(value, _Time, strict=True).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a time as RFC 3339 has it, such as 2026-11-21T10:00:00Z") from None
    if at > now + most_ahead_s:
        raise ValueError("is more than 5 minutes in the future")
    return at


_FIELDS: Final[Mapping[str, tuple[Callable[[Any, Any, float], Any], float]]] = {
    "prediction_id": (_text, MAX_ID_CHARS),
    "user_id": (_text, MAX_USER_ID_CHARS),
    "name": (_text, MAX_NAME_CHARS),
    "id": (_text, MAX_ID_CHARS),
    "value": (_number, MAX_VALUE),
    "at": (_time, _MAX_AHEAD_S),
}
