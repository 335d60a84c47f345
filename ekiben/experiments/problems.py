"""What is wrong with a document, in words: one line for each problem, with its path in the file."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
Problems = Iterator[tuple[Path, str]]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN = 60
# What YAML can hold besides plain data.
_KINDS = {"bytes": "binary data", "date": "a date", "datetime": "a time", "set": "a set"}


class DocumentError(ValueError):
    """The document, or the change, is refused.

    `problems` holds a line for each reason: "experiments.credit-net.variants.treatment.weight: must be …".
    `str()` joins the lines.
    """

    problems: tuple[str, ...]
    places: tuple[Path, ...]
    """Where each problem lies, () where that was not told."""

    def __init__(self, problems: Iterable[str], places: Iterable[Path] = ()) -> None:
        self.problems = tuple(problems)
        self.places = tuple(places) or ((),) * len(self.problems)
        super().__init__("\n".join(self.problems))

    @classmethod
    def at(cls, found: Iterable[tuple[Path, str]]) -> Self:
        """The refusal of a document with these (path, message); what is said twice stands once."""
        once = {problem(*each): each[0] for each in found}
        return cls(once, once.values())


def problem(path: Path, message: str) -> str:
    """Return the line for a problem at `path`; keys that are not plain words are quoted."""
    return f"{dotted(path)}: {message}" if path else message


def below(path: Path, found: Iterable[tuple[Path, str]]) -> Problems:
    """What was found in a part that lies at `path`, with that before each path."""
    return (((*path, *where), message) for where, message in found)


def dotted(path: Path) -> str:
    """Return `path` as it is written in messages: models.credit.versions.v1.endpoints.0."""
    return ".".join(str(part) if isinstance(part, int) else word(part) for part in path)


def word(name: str) -> str:
    """Return a name as it is when it is a plain word, else quoted."""
    return name if _PLAIN_KEY.fullmatch(name) else show(name)


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
    return _KINDS.get(type(value).__name__, "a value of a kind that has no place here")


def listed(names: Iterable[str]) -> str:
    """Return the names for a message: "v1, v2, v3", at most ten of them."""
    known = [word(name) for name in names]
    return ", ".join(known[:10]) + (", …" if len(known) > 10 else "") if known else "none"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return "there is no version "v9" (known: v1, v2)", and the name that was meant when one is near."""
    names = list(known)
    near = difflib.get_close_matches(name[:100], names, n=1)
    meant = f"; did you mean {word(near[0])}?" if near else ""
    return f"there is no {what} {show(name)}{meant} (known: {listed(names)})"


def from_validation(model: type[BaseModel], path: Path, error: ValidationError) -> list[tuple[Path, str]]:
    """Return pydantic's errors for the `model` that lies at `path` as (path, message in plain words)."""
    errors = error.errors(include_url=False)
    deeper = {each["loc"][:-1] for each in errors}
    return [
        (path + tuple(each["loc"]), _words(model, each))
        for each in errors
        # A list whose items are all wrong is not "empty" besides.
        if not (each["type"] == "too_short" and each["loc"] in deeper)
    ]


# Templates with pydantic's types of error; `shown` is the value, the rest an error's context.
_KINDS_IN_WORDS: Mapping[str, str] = {
    "must be a finite number, not {shown}": "finite_number",
    "must not be empty": "string_too_short too_short",
    "must have at most {max_length} characters": "string_too_long",
    "must be a mapping, not {shown}": "model_type dict_type",
    "must be a list, not {shown}": "tuple_type",
    "must be text, not {shown}": "string_type string_unicode invalid_key",
    "must be true or false, not {shown}": "bool_type bool_parsing",
    "must be a whole number, not {shown}": "int_type int_from_float int_parsing",
    "must be a smaller number, not {shown}": "int_parsing_size",
    "must be a number, not {shown}": "float_type float_parsing",
    "is not JSON: {error}": "json_invalid",
    "{error}": "value_error",
}
_WORDS = {kind: words for words, kinds in _KINDS_IN_WORDS.items() for kind in kinds.split()}
_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def _words(model: type[BaseModel], error: ErrorDetails) -> str:
    kind, loc, value = error["type"], error["loc"], error["input"]
    field = _fields_at(model, loc[:-1]).get(loc[-1]) if loc else None
    if kind == "missing":
        return f"is missing: {'it has no default' if field is None else described(field)}"
    if kind == "extra_forbidden":
        return unknown("key", str(loc[-1]), map(str, _fields_at(model, loc[:-1])))
    if kind in ("enum", "literal_error"):
        expected = error["ctx"]["expected"].replace(" or ", ", ").replace("'", "")
        return f"must be one of {expected}, not {show(value)}"
    if kind.startswith(("greater_than", "less_than")):
        return f"must be {_range(field, error['ctx'])}, not {show(value)}"
    if kind == "string_pattern_mismatch" and field is not None:
        return f"must be {described(field).partition(':')[0]}, not {show(value)}"
    if kind not in _WORDS:
        return f"cannot be read: {error['msg']}"
    words = _WORDS[kind].format(shown=show(value), **error.get("ctx", {}))
    if kind == "string_type" and isinstance(value, int | float):
        return f"{words}: write it in quotes"
    if kind in ("int_type", "float_type") and isinstance(value, str) and _NUMBER.fullmatch(value):
        return f"{words}: take the quotes away"
    return words


def _range(field: FieldInfo | None, bound: Mapping[str, Any]) -> str:
    """ "at least 1 and at most 500": all bounds of the field, or of what is no field the one that is told."""
    parts = field.metadata if field is not None else ()
    bounds = {name: getattr(each, name) for each in parts for name in _BOUNDS if hasattr(each, name)}
    return " and ".join(f"{_BOUNDS[name]} {value:.16g}" for name, value in (bounds or bound).items())


def described(field: FieldInfo) -> str:
    """What a field is, as a part of a line."""
    words = " ".join((field.description or "it has no default").split())
    return words[0].lower() + words[1:].removesuffix(".")


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> Mapping[str | int, FieldInfo]:
    """The fields by their keys of the model that lies at `loc` below `model`; none where no model does."""
    here: Any = model
    for step in loc:
        if fields := _fields(here):
            here = fields[step].annotation if step in fields else None
        else:
            inner = [arg for arg in get_args(here) if arg is not ...]  # a mapping's values, a list's items
            here = inner[-1] if inner else None
        options = [arg for arg in get_args(here) if isinstance(arg, type)]
        if len(options) == 2 and type(None) in options:
            here = next(arg for arg in options if arg is not type(None))
    return _fields(here)


def _fields(here: Any) -> Mapping[str | int, FieldInfo]:
    if not (isinstance(here, type) and issubclass(here, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in here.model_fields.items()}
