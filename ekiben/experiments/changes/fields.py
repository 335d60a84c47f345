"""What a verb is told: models whose fields carry the words of every door that asks for them.

A field's description is the help of a command line's option, of a form's field and of the API's schema; its
title is the label of the form's field; its first example says how it is written. In JSON a field has its
type. Where people type it, it is text, and several values have commas between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from ekiben.experiments.problems import DocumentError, from_validation


class Fields(BaseModel):
    """What a verb is told beside the experiment's key. Nothing, unless the verb says more."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Treatment:
    """Marks a field that holds the name of one of the experiment's treatments."""


def is_flag(field: FieldInfo) -> bool:
    """Whether the field is yes or no. One that is yes is another use of its verb, and stands alone."""
    return field.annotation is bool


def is_many(field: FieldInfo) -> bool:
    """Whether the field holds several values."""
    return any(get_origin(each) is tuple for each in _options(field.annotation))


def may_be_none(field: FieldInfo) -> bool:
    """Whether the field may be empty."""
    return type(None) in get_args(field.annotation)


def read_texts(kind: type[Fields], texts: Mapping[str, str], held: Mapping[str, Any]) -> Fields:
    """What people typed into those fields that are there. A text that is as `write_texts` wrote it keeps the
    value that is held, of which it may not say everything. Raises DocumentError.
    """
    written, values = write_texts(held), {}
    for name, text in texts.items():
        field, text = kind.model_fields[name], text.strip()
        if name in held and text == written.get(name, ""):
            values[name] = held[name]
        elif not text and may_be_none(field):
            values[name] = None
        elif is_many(field):
            values[name] = [part.strip(" %") for part in text.split(",") if part.strip()]
        else:
            values[name] = text
    return read_values(kind, values)


def _options(annotation: Any) -> Iterator[Any]:
    """The types that a field may have: of a union each."""
    yield annotation
    if get_origin(annotation) is not tuple:
        for each in get_args(annotation):
            yield from _options(each)


def read_values(kind: type[Fields], values: Mapping[str, Any]) -> Fields:
    """The values as fields. Raises DocumentError."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise DocumentError.at(from_validation(kind, (), error)) from None


def write_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as people would type them; what is not known is left out."""
    return {
        name: ", ".join(map(_text, value if isinstance(value, tuple) else (value,)))
        for name, value in values.items()
        if value is not None
    }


def as_they_are(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of a model, for `create_model`, each of which may be left out: then it stays as it is."""
    found = {}
    for name, field in model.model_fields.items():
        optional = copy(field)
        optional.default = None
        optional.json_schema_extra = _without_default
        found[name] = (field.annotation, optional)
    return found


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def _text(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
