"""What is wrong with a document, in words: one line for each problem, with its path in the file."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

Path = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN = 60


class DocumentError(ValueError):
    """The document, or the change, is refused.

    `problems` holds a line for each reason: "experiments.credit-net.variants.treatment.weight: must be …".
    `str()` joins the lines.
    """

    problems: tuple[str, ...]

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def problem(path: Path, message: str) -> str:
    """Return the line for a problem at `path`; keys that are not plain words are quoted."""
    return f"{dotted(path)}: {message}" if path else message


def dotted(path: Path) -> str:
    """Return `path` as it is written in messages: models.credit.versions.v1.endpoints.0."""
    return ".".join(
        str(part) if isinstance(part, int) or _PLAIN_KEY.fullmatch(part) else show(part) for part in path
    )


def show(value: object) -> str:
    """Return `value` in a few words on one line, whatever it is and however large."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a huge number"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        cut = value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "…"
        quoted = json.dumps(cut, ensure_ascii=False)
        return quoted if quoted.isprintable() else json.dumps(cut)
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"


def listed(names: Iterable[str]) -> str:
    """Return the names for a message: "v1, v2, v3", at most ten of them."""
    known = list(names)
    return ", ".join(known[:10]) + (", …" if len(known) > 10 else "") if known else "none"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return "there is no version "v9" (known: v1, v2)", with the nearest name when one is near."""
    names = list(known)
    near = difflib.get_close_matches(name[:100], names, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"there is no {what} {show(name)}{meant} (known: {listed(names)})"


def from_validation(model: type[BaseModel], path: Path, error: ValidationError) -> list[tuple[Path, str]]:
    """Return pydantic's errors for the `model` that lies at `path` as (path, message in plain words)."""
    return [
        (
            path + tuple(each["loc"]),
            _words(model, each["loc"], each["type"], each["input"], each.get("ctx", {})),
        )
        for each in error.errors(include_url=False)
    ]


def _words(
    model: type[BaseModel], loc: Sequence[str | int], kind: str, value: object, context: Mapping[str, Any]
) -> str:
    match kind:
        case "missing":
            return f"is missing: {_description(model, loc)}"
        case "extra_forbidden":
            known = _keys(model, loc[:-1])
            near = difflib.get_close_matches(str(loc[-1])[:100], known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            return f"is no key that is known here{meant} (known: {listed(known)})"
        case "string_type":
            scalar = isinstance(value, int | float) and not isinstance(value, bool)
            return f"must be text, not {show(value)}" + (": write it in quotes" if scalar else "")
        case "int_type" | "float_type" | "int_from_float":
            what = "a number" if kind == "float_type" else "a whole number"
            quoted = isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
            return f"must be {what}, not {show(value)}" + (": take the quotes away" if quoted else "")
        case "finite_number":
            return f"must be a finite number, not {show(value)}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}, not {show(value)}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}, not {show(value)}"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "too_short":
            return f"must have at least {context['min_length']}"
        case "enum":
            return f"must be one of {context['expected'].replace(' or ', ', ').replace(chr(39), '')}, not {show(value)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"must be a mapping, not {show(value)}"
        case "tuple_type":
            return f"must be a list, not {show(value)}"
    return f"cannot be read: {kind.replace('_', ' ')}"


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys of the model that lies at `loc` below `model`."""
    here = _model_at(model, loc)
    return [] if here is None else [field.alias or name for name, field in here.model_fields.items()]


def _description(model: type[BaseModel], loc: Sequence[str | int]) -> str:
    here = _model_at(model, loc[:-1])
    for name, field in here.model_fields.items() if here is not None else ():
        if loc[-1] in (name, field.alias):
            return field.description or "it has no default"
    return "it has no default"


def _model_at(model: type[BaseModel], loc: Sequence[str | int]) -> type[BaseModel] | None:
    here: Any = model
    for step in loc:
        if isinstance(here, type) and issubclass(here, BaseModel):
            fields = {field.alias or name: field for name, field in here.model_fields.items()}
            here = fields[str(step)].annotation if str(step) in fields else None
        else:
            here = getattr(here, "__args__", (None,))[-1]
        options = [arg for arg in getattr(here, "__args__", ()) if isinstance(arg, type)]
        if len(options) == 2 and type(None) in options:
            here = next(arg for arg in options if arg is not type(None))
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None
