"""Features as they come in, checked: each row by itself, so that a bad one costs its neighbours nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from ekiben.serving.features import Features

# What a refusal repeats of the request is bounded: a row may have a million unknown fields with long names.
_MAX_ERRORS: Final = 20
_MAX_NAME: Final = 100


class RowChecker:
    """Checks parsed JSON against one model of features."""

    def __init__(self, features: type[Features]) -> None:
        self._names = features.model_fields.keys()
        self._one = TypeAdapter(features)
        self._all = TypeAdapter(list[features])  # type: ignore[valid-type]  # a type made at run time

    def check_each(self, data: Sequence[Any]) -> list[Features | list[dict[str, Any]]]:
        """For each row, in order, its features or its errors (`{"loc": […], "msg": …}`), at most 20."""
        valid = self._all_valid(data)
        return [self._check(row) for row in data] if valid is None else [*valid]

    def first_errors(self, data: Sequence[Any]) -> list[dict[str, Any]]:
        """The first errors of all rows together, at most 20, each with its row's number before its `loc`."""
        found: list[dict[str, Any]] = []
        if self._all_valid(data) is None:
            for number, row in enumerate(data):
                checked = self._check(row)
                if isinstance(checked, list):
                    found += ({**error, "loc": [number, *error["loc"]]} for error in checked)
                if len(found) >= _MAX_ERRORS:
                    break
        return found[:_MAX_ERRORS]

    def _all_valid(self, data: Sequence[Any]) -> list[Features] | None:
        if any(map(self._has_too_many, data)):
            return None
        try:
            return cast("list[Features]", self._all.validate_python(data))
        except ValidationError:
            return None

    def _has_too_many(self, row: Any) -> bool:
        # pydantic makes an error of every unknown field: 140,000 of them take it 0.4 s.
        return type(row) is dict and len(row) > len(self._names)

    def _check(self, row: Any) -> Features | list[dict[str, Any]]:
        if self._has_too_many(row):
            unknown = itertools.islice((name for name in row if name not in self._names), _MAX_ERRORS)
            return [{"loc": [_short(name)], "msg": "Extra inputs are not permitted"} for name in unknown]
        try:
            return self._one.validate_python(row)
        except ValidationError as error:
            return _row_errors(error)


def _row_errors(error: ValidationError) -> list[dict[str, Any]]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        {"loc": [_short(part) for part in detail["loc"]], "msg": detail["msg"]}
        for detail in details[:_MAX_ERRORS]
    ]


def _short(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= _MAX_NAME else part[:_MAX_NAME] + "…"
