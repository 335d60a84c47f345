"""What a version is asked with: pydantic models whose fields carry a kind, a unit and a range.

    class Review(Features):
        words: str = text("what the customer wrote")
        stars: float | None = number(1, 5, "stars", "what the customer gave", missing=True)
        shop: str | None = category("where it was bought", missing=True)
        days: list[float] = numbers(0, 1e6, "visits", "visits on each of the last 28 days", length=28)
        photo: list[list[float]] = tensor((32, 32), 0, 1, "share of white", "the photo, row by row")

A number is any finite JSON number of its range, never a string or a boolean. A category is any string of at
most 100 characters: one that the training data did not have counts as missing. A text has at most 64 KiB in
UTF-8. Numbers are a list, a tensor is lists in lists of exactly its shape; each has at most
`EKIBEN_MAX_ELEMENTS` elements (65,536). Where missing is allowed the field may be null or left out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from ekiben.process.environ import whole

MAX_CATEGORY_LENGTH: Final = 100
MAX_TEXT_BYTES: Final = 64 * 1024
MAX_ELEMENTS: Final = 65_536
MAX_DIMENSIONS: Final = 8

Kind = Literal["number", "category", "text", "numbers", "tensor"]


class Features(BaseModel):
    """One row of features. Immutable; unknown fields and wrong types are refused, nothing is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def number(low: float, high: float, unit: str, about: str, *, missing: bool = False) -> Any:
    """A number from `low` to `high`, both included, in `unit`."""
    return Field(
        default=None if missing else ...,
        ge=low,
        le=high,
        allow_inf_nan=False,
        description=about,
        json_schema_extra={"unit": unit, "kind": "number"},
    )


def category(about: str, *, missing: bool = False) -> Any:
    """A category by its name."""
    return Field(
        default=None if missing else ...,
        max_length=MAX_CATEGORY_LENGTH,
        description=about,
        json_schema_extra={"kind": "category"},
    )


def text(about: str, *, max_bytes: int = MAX_TEXT_BYTES, missing: bool = False) -> Any:
    """A text of at most `max_bytes` in UTF-8. Raises ValueError for more than 64 KiB."""
    if not 1 <= max_bytes <= MAX_TEXT_BYTES:
        raise ValueError(f"max_bytes of a text is from 1 to {MAX_TEXT_BYTES:,}, not {max_bytes:,}")

    def check(value: str | None) -> str | None:
        if value is not None and len(value) * 4 > max_bytes and len(value.encode()) > max_bytes:
            raise PydanticCustomError("text_too_long", f"Text should have at most {max_bytes} bytes in UTF-8")
        return value

    field: Any = Field(
        default=None if missing else ...,
        max_length=max_bytes,
        description=about,
        json_schema_extra={"kind": "text", "max_bytes": max_bytes},
    )
    field.metadata.append(AfterValidator(check))
    return field


def numbers(low: float, high: float, unit: str, about: str, *, length: int | None = None) -> Any:
    """A list of numbers from `low` to `high`: exactly `length` of them, or any number but none at all.

    Raises ValueError for a length that is not from 2 to `EKIBEN_MAX_ELEMENTS`.
    """
    return _nested("numbers", _Nested((length,), low, high), {"unit": unit}, about)


def tensor(shape: tuple[int, ...], low: float, high: float, unit: str, about: str) -> Any:
    """Numbers from `low` to `high` as lists in lists: `shape` says how many on each level, from the outside.

    Raises ValueError for more than 8 dimensions or `EKIBEN_MAX_ELEMENTS` elements, and for fewer than 2.
    """
    return _nested("tensor", _Nested(shape, low, high), {"unit": unit, "shape": list(shape)}, about)


@dataclass(frozen=True, slots=True)
class _Nested:
    """What lists of numbers are checked against, and described by. A size of None is any but zero."""

    shape: tuple[int | None, ...]
    low: float
    high: float

    def __post_init__(self) -> None:
        sizes = [2 if size is None else size for size in self.shape]
        elements, most = math.prod(sizes), _max_elements()
        if not 1 <= len(sizes) <= MAX_DIMENSIONS or min(sizes) < 1:
            raise ValueError(f"a shape has 1 to {MAX_DIMENSIONS} sizes of at least 1 each, not {self.shape}")
        if elements < 2:
            raise ValueError(f"{elements} element is no list: declare it as number(…)")
        if elements > most:
            raise ValueError(
                f"the shape {self.shape} has {elements:,} elements, and EKIBEN_MAX_ELEMENTS allows {most:,}: "
                "raise it for the service and the router, or declare fewer"
            )

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        annotation: Any = float
        schema: CoreSchema = core_schema.float_schema(
            ge=self.low, le=self.high, allow_inf_nan=False, strict=True
        )
        for size in reversed(self.shape):
            annotation = list[annotation]
            # Of 65,536 wrong elements one is enough to be told of.
            schema = core_schema.list_schema(
                schema,
                min_length=size or 1,
                max_length=size or _max_elements(),
                strict=True,
                fail_fast=True,
            )
        if source != annotation:
            raise TypeError(f"the shape {self.shape} is annotated as {annotation}, not as {source}")
        return schema

    def blank(self) -> Any:
        """Lists that are valid, of one number."""
        value: Any = _least(self.low, self.high)
        for size in reversed(self.shape):
            value = [value] * (size or 1)
        return value


def _nested(kind: Kind, nested: _Nested, extra: dict[str, Any], about: str) -> Any:
    field = Field(description=about, json_schema_extra={**extra, "kind": kind})
    field.metadata.append(nested)
    return field


def _max_elements() -> int:
    return whole(os.environ, "EKIBEN_MAX_ELEMENTS", MAX_ELEMENTS, 100, 1_000_000)


def _least(low: float, high: float) -> float:
    """The number nearest to 0 of a range."""
    return float(min(max(low, 0.0), high))


def kinds(features: type[Features]) -> Mapping[str, Kind]:
    """Each field of `features`, in order, and its kind. Raises TypeError for one made without the above."""
    found: dict[str, Kind] = {}
    for name, field in features.model_fields.items():
        extra = field.json_schema_extra
        kind = extra.get("kind") if isinstance(extra, dict) else None
        if kind not in get_args(Kind):
            ways = ", ".join(f"{way}(…)" for way in get_args(Kind))
            raise TypeError(f"{features.__name__}.{name} needs one of {ways}")
        found[name] = cast(Kind, kind)
    return found


def blank_row(features: type[Features]) -> dict[str, Any]:
    """A valid row that says nothing: what may be missing is, and numbers are as near to 0 as they may be."""
    row: dict[str, Any] = {}
    for name, kind in kinds(features).items():
        field = features.model_fields[name]
        if not field.is_required():
            row[name] = None
        elif kind == "number":
            low, high = (next(m for m in field.metadata if isinstance(m, bound)) for bound in (Ge, Le))
            row[name] = _least(cast(Any, low).ge, cast(Any, high).le)
        else:
            nested = next((m for m in field.metadata if isinstance(m, _Nested)), None)
            row[name] = "" if nested is None else nested.blank()
    return row


def json_schema(features: type[Features]) -> dict[str, Any]:
    """The JSON Schema of `features`, with each field's `unit`, `kind`, `shape` and `max_bytes`.

    A field that may be missing says so by its type and by not being required; `"default": null` is left out,
    since BentoML's metadata cannot hold a null.
    """
    schema = features.model_json_schema()
    for field in schema["properties"].values():
        if field.get("default", ...) is None:
            del field["default"]
    return schema
