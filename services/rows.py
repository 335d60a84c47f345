"""Features as they come in, checked: each row by itself, so that a bad one costs its neighbours nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from services.features import Features

F = TypeVar("F", bound=Features)

# What a refusal repeats of the request is bounded: a row may have a million unknown fields with long names.
_MAX_ERRORS: Final = 20
_MAX_NAME: Final = 100


class RowChecker(Generic[F]):
    """Checks parsed JSON against one model of features."""

    def __init__(self, features: type[F]) -> None:
        self._one = TypeAdapter(features)
        self._all = TypeAdapter(list[features])  # type: ignore[valid-type]  # a type made at run time

    def check_all(self, data: Any) -> list[F]:
        """All rows, or ValidationError."""
        rows: list[F] = self._all.validate_python(data)
        return rows

    def check_each(self, data: Sequence[Any]) -> list[F | list[dict[str, Any]]]:
        """For each row, in order, its features or its errors (`{"loc": […], "msg": …}`)."""
        try:
            return list(self.check_all(data))
        except ValidationError:
            return [self._check(row) for row in data]

    def _check(self, row: Any) -> F | list[dict[str, Any]]:
        try:
            return self._one.validate_python(row)
        except ValidationError as error:
            return row_errors(error)


def row_errors(error: ValidationError, prefix: tuple[str | int, ...] = ()) -> list[dict[str, Any]]:
    """The errors as they are answered: where, and why, at most 20 of them."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        {"loc": [*prefix, *(_short(part) for part in detail["loc"])], "msg": detail["msg"]}
        for detail in details[:_MAX_ERRORS]
    ]


def _short(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= _MAX_NAME else part[:_MAX_NAME] + "…"
