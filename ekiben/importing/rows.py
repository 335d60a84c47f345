"""From a line of a file to an outcome as the router takes it, or to the reason why not."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from math import isnan
from typing import Any, Final

import orjson

from ekiben.state.outcomes import BadOutcome, read_outcome
from ekiben.terminal.errors import UsageError

Row = Mapping[str, Any]
"""A line by column: texts (CSV) or values (Parquet); None or an empty text where there is nothing."""

ID_FIELDS: Final = ("prediction_id", "user_id", "name", "value", "at")
"""What the id of a line without one is made of."""

NO_VALUE: Final = "no value"
"""What is wrong with a line that has none yet: it is left out, and no mistake."""

_MISSING: Final = frozenset({"", "nan", "na", "n/a", "null", "none", "nat", "<na>"})
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_TRUTHS: Final = {"true": Decimal(1), "false": Decimal(0)}
_EXACT: Final = 2**53


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a line's outcome is: `name` for all lines or None for the column of that name; the columns of the
    values and of the ids; with `positive` a value equal to it is 1 and any other 0, with `classes` each value
    is its place among these.
    """

    name: str | None = None
    value: str = "value"
    positive: str | None = None
    id: str = "id"
    classes: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """Values that have a meaning, whatever they look like."""
        return self.classes if self.positive is None else (self.positive, *self.classes)

    def used(self, present: list[str]) -> list[str]:
        """The columns of a file that are read. Raises UsageError where it cannot be read so."""
        has = f"it has {', '.join(present) or 'none'}"
        if self.positive is not None and self.classes:
            raise UsageError("a label has --positive or --classes: leave one of the two out")
        if twice := [each for place, each in enumerate(self.classes) if each in self.classes[:place]]:
            raise UsageError(f"the class {twice[0]} is there twice")
        if not {"prediction_id", "user_id"} & set(present):
            raise UsageError(f"there is no column prediction_id or user_id: {has}")
        if self.value not in present:
            raise UsageError(f"there is no column {self.value} (name another with --value-column): {has}")
        if self.name is None and "name" not in present:
            raise UsageError(f"there is no column name (or give one for all lines with --name): {has}")
        if self.id != "id" and self.id not in present:
            raise UsageError(f"there is no column {self.id}: {has}")
        wanted = {"prediction_id", "user_id", "at", self.value, self.id}
        wanted |= {"name"} if self.name is None else set()
        if twice := sorted(column for column in wanted if present.count(column) > 1):
            raise UsageError(f"the column {twice[0]} is there twice")
        return [column for column in present if column in wanted]


def read_row(row: Row, columns: Columns, now: float) -> tuple[dict[str, Any], str]:
    """The outcome that `POST /outcomes` takes for a line, and what is wrong with it: "" for nothing.

    Without an `id` of its own a line gets one made from its content, so that the same line is the same
    outcome however often it is sent.
    """
    value = row.get(columns.value)
    if _is_missing(value) and _shown(value) not in columns.named:
        return {}, NO_VALUE
    outcome: dict[str, Any] = {}
    try:
        for field in ("prediction_id", "user_id", "name", "id"):
            text = _text(field, row.get(columns.id if field == "id" else field))
            if field == "name" and columns.name is not None:
                text = columns.name
            if text is not None:
                outcome[field] = text
        at = _time(row.get("at"))
        if at is not None:
            outcome["at"] = at
        outcome["value"] = _value(value, columns)
    except ValueError as error:
        return outcome, str(error)
    try:
        read_outcome(outcome, now)
    except BadOutcome as bad:
        return outcome, str(bad)
    if "id" not in outcome:
        outcome["id"] = _digest(outcome)
    return outcome, ""


def as_number(value: Any) -> Decimal | None:
    """The number that a value or a text stands for: 1, 01, 1.0, 1e0 and true are one. None for no number."""
    if isinstance(value, bool | int | Decimal):
        return Decimal(value)
    text = _shown(value).lower()
    return Decimal(text) if _NUMBER.fullmatch(text) else _TRUTHS.get(text)


def _digest(outcome: Mapping[str, Any]) -> str:
    content = orjson.dumps([outcome.get(field) for field in ID_FIELDS])
    return f"import-{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def _shown(value: Any) -> str:
    return (str(value).lower() if isinstance(value, bool) else str(value)).strip()


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float | Decimal) and isnan(value)):
        return True
    return isinstance(value, str) and value.strip().lower() in _MISSING


def _text(field: str, value: Any) -> str | None:
    """A text as it is, a whole number as its digits. Raises ValueError for what has no digits to keep."""
    if _is_missing(value):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{field}: not UTF-8") from None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        if abs(value) < _EXACT:
            return str(int(value))
        raise ValueError(f"{field}: {value!r} has lost digits: keep ids as texts or whole numbers")
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    raise ValueError(f"{field}: {str(value)[:40]!r} is neither a text nor a whole number")


def _time(value: Any) -> str | None:
    """As RFC 3339 has it. A column of times without a zone is in UTC; a text has to name its zone."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).isoformat()
    return _text("at", value)


def _value(value: Any, columns: Columns) -> float:
    if columns.classes:
        if _shown(value) not in columns.classes:
            raise ValueError(
                f"{columns.value}: {_shown(value)[:40]!r} is none of the classes {', '.join(columns.classes)}"
            )
        return float(columns.classes.index(_shown(value)))
    if columns.positive is not None:
        wanted, number = as_number(columns.positive), as_number(value)
        if wanted is None:
            return 1.0 if _shown(value) == columns.positive.strip() else 0.0
        if number is None:
            raise ValueError(
                f"{columns.value}: {_shown(value)[:40]!r} is not a number, and --positive is one"
            )
        return 1.0 if number == wanted else 0.0
    if isinstance(value, str):
        if _NUMBER.fullmatch(value.strip()) or value.strip().lower().lstrip("+-") in ("inf", "infinity"):
            return float(value)
    elif isinstance(value, bool | int | float | Decimal):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    raise ValueError(f"{columns.value}: not a number: {str(value)[:40]!r}")
