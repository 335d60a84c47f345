"""From a line of a file to an outcome as the router takes it, or to the reason why not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

import orjson

from ekiben.errors import UsageError
from router.outcomes import read_outcome

Row = Mapping[str, Any]
"""A line by column: texts (CSV) or values (Parquet); None or an empty text where there is nothing."""

_CONTENT: Final = ("prediction_id", "user_id", "name", "value", "at")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a line's outcome is: `name` for all lines or None for the column of that name; the column of the
    values; with `positive` a value equal to it is 1 and any other 0.
    """

    name: str | None = None
    value: str = "value"
    positive: str | None = None

    def check(self, present: list[str]) -> None:
        """Raises UsageError where a file with these columns cannot be read so."""
        has = f"it has {', '.join(present) or 'none'}"
        twice = sorted({column for column in present if present.count(column) > 1})
        if twice:
            raise UsageError(f"the column {twice[0]} is there twice")
        if not {"prediction_id", "user_id"} & set(present):
            raise UsageError(f"there is no column prediction_id or user_id: {has}")
        if self.value not in present:
            raise UsageError(f"there is no column {self.value} (name another with --value-column): {has}")
        if self.name is None and "name" not in present:
            raise UsageError(f"there is no column name (or give one for all lines with --name): {has}")


def read_row(row: Row, columns: Columns, now: float) -> tuple[dict[str, Any], str]:
    """The outcome that `POST /outcomes` takes for a line, and what is wrong with it: "" for nothing.

    Without an `id` of its own a line gets one made from its content, so that the same line is the same
    outcome however often it is sent.
    """
    try:
        given: dict[str, Any] = {
            "prediction_id": _text(row.get("prediction_id")),
            "user_id": _text(row.get("user_id")),
            "name": columns.name if columns.name is not None else _text(row.get("name")),
            "at": _time(row.get("at")),
            "id": _text(row.get("id")),
        }
    except UnicodeDecodeError:
        return {}, "not UTF-8"
    outcome = {field: value for field, value in given.items() if value is not None}
    value = row.get(columns.value)
    if not _is_missing(value):
        try:
            outcome["value"] = _value(value, columns.positive)
        except ValueError:
            return outcome, f"{columns.value}: not a number: {str(value)[:40]!r}"
    errors: list[dict[str, Any]] = []
    read_outcome(outcome, (), now, errors)
    if errors:
        return outcome, "; ".join(": ".join([*map(str, each["loc"]), each["msg"]]) for each in errors)
    if "id" not in outcome:
        outcome["id"] = _digest(outcome)
    return outcome, ""


def _digest(outcome: Mapping[str, Any]) -> str:
    content = orjson.dumps([outcome.get(field) for field in _CONTENT])
    return f"import-{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _text(value: Any) -> str | None:
    """Ids are texts: a number's is its digits."""
    if _is_missing(value):
        return None
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else str(value)


def _time(value: Any) -> str | None:
    """As RFC 3339 has it. A column of times without a zone is in UTC; a text has to name its zone."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).isoformat()
    return _text(value)


def _value(value: Any, positive: str | None) -> float:
    if positive is not None:
        text = str(value).lower() if isinstance(value, bool) else str(value).strip()
        return 1.0 if text == positive else 0.0
    if isinstance(value, str):
        if "_" in value:  # Python's digits may have them, nobody else's
            raise ValueError
        return float(value)
    if isinstance(value, bool | int | float | Decimal):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    raise ValueError
