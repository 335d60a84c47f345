"""An outcome as clients and files give it: its fields, their limits, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
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

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
_User = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USER_ID_CHARS)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
_Value = Annotated[float, msgspec.Meta(ge=-MAX_VALUE, le=MAX_VALUE)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Item(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An outcome as it is sent."""

    name: _Name
    value: _Value
    prediction_id: _Id | msgspec.UnsetType = msgspec.UNSET
    user_id: _User | msgspec.UnsetType = msgspec.UNSET
    at: _Time | msgspec.UnsetType = msgspec.UNSET
    id: _Id | msgspec.UnsetType = msgspec.UNSET


_TEXT: Final = "must be a string of 1 to {} characters"
_FIELDS: Final[Mapping[str, tuple[Any, str]]] = {
    "prediction_id": (_Id, _TEXT.format(MAX_ID_CHARS)),
    "user_id": (_User, _TEXT.format(MAX_USER_ID_CHARS)),
    "name": (_Name, _TEXT.format(MAX_NAME_CHARS)),
    "value": (_Value, f"must be a number between {-MAX_VALUE:g} and {MAX_VALUE:g}"),
    "at": (_Time, "must be a time as RFC 3339 has it, such as 2026-11-21T10:00:00Z"),
    "id": (_Id, _TEXT.format(MAX_ID_CHARS)),
}
_UNKNOWN: Final = f"unknown field: an outcome has {', '.join(_FIELDS)}"
_EITHER: Final = "give either `prediction_id` or `user_id`"


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
    try:
        said = msgspec.convert(item, _Item)
    except msgspec.ValidationError:
        raise BadOutcome(_errors(item)) from None
    if (said.prediction_id is msgspec.UNSET) == (said.user_id is msgspec.UNSET):
        raise BadOutcome([(None, _EITHER)])
    at = said.at.timestamp() if said.at else now
    if at > now + _MAX_AHEAD_S:
        raise BadOutcome([("at", "is more than 5 minutes in the future")])
    return GivenOutcome(
        said.prediction_id or None, said.user_id or None, said.name, said.value, at, said.id or None
    )


def _errors(item: Any) -> list[tuple[str | None, str]]:
    """All that is wrong, once it is known that something is."""
    if type(item) is not dict:
        return [(None, "an outcome must be an object")]
    errors: list[tuple[str | None, str]] = []
    if not item.keys() <= _FIELDS.keys():
        unknown = next(field for field in item if field not in _FIELDS)
        errors.append((unknown[:100], _UNKNOWN))
    if ("prediction_id" in item) == ("user_id" in item):
        errors.append((None, _EITHER))
    for field, (type_, must_be) in _FIELDS.items():
        if field in item:
            try:
                msgspec.convert(item[field], type_)
            except msgspec.ValidationError:
                errors.append((field, must_be))
        elif field in ("name", "value"):
            errors.append((field, f"`{field}` is missing"))
    return errors
