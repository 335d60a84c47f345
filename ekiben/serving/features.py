"""What a version is asked with: pydantic models whose fields carry a unit and a range.

    class Applicant(Features):
        income: float | None = number(0, 1e9, "money a month", "what the applicant earns", missing=True)
        job: str | None = category("kind of employment", missing=True)

A number is any finite JSON number of its range, never a string or a boolean. A category is any string of at
most 100 characters: one that the training data did not have counts as missing. Where missing is allowed the
field may be null or left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field

MAX_CATEGORY_LENGTH: Final = 100

Kind = Literal["number", "category"]


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


def kinds(features: type[Features]) -> Mapping[str, Kind]:
    """Each field of `features`, in order, and its kind. Raises TypeError for one made without the above."""
    found: dict[str, Kind] = {}
    for name, field in features.model_fields.items():
        extra = field.json_schema_extra
        kind = extra.get("kind") if isinstance(extra, dict) else None
        if kind not in get_args(Kind):
            raise TypeError(f"{features.__name__}.{name} needs number(…) or category(…)")
        found[name] = cast(Kind, kind)
    return found


def json_schema(features: type[Features]) -> dict[str, Any]:
    """The JSON Schema of `features`, with each field's `unit` and `kind`.

    A field that may be missing says so by its type and by not being required; `"default": null` is left out,
    since BentoML's metadata cannot hold a null.
    """
    schema = features.model_json_schema()
    for field in schema["properties"].values():
        if field.get("default", ...) is None:
            del field["default"]
    return schema
