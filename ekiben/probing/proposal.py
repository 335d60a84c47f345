"""From what a server says of itself to the lines of the experiments file that name it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

_MAX_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Proposal:
    """A version of a model, as its entry in the experiments file, and what is to be said of it first."""

    notes: tuple[str, ...]
    version: Mapping[str, Any]

    def as_yaml(self, name: str = "v1") -> str:
        """The entry as YAML, each line of what is said of it a comment."""
        lines = [f"# {note}" for note in self.notes]
        lines.append(f"{name}:")
        for key, value in self.version.items():
            lines.append(f"  {key}: {_flow(value)}")
        return "\n".join(lines)


def of_native(url: str, info: Mapping[str, Any]) -> Proposal:
    """What to write for a service of Ekiben's, from its `/model/info`."""
    return Proposal((f"{info['model_version']}, a service of Ekiben's",), {"endpoints": [url]})


def of_bentoml(url: str, docs: Mapping[str, Any]) -> Iterator[Proposal]:
    """What to write for each API of an ordinary BentoML service that takes JSON, from its `/docs.json`."""
    schemas = _Schemas(docs)
    for path, operations in _mapping(docs.get("paths")).items():
        body = _mapping(_mapping(operations).get("post")).get("requestBody")
        content = _mapping(_mapping(body).get("content"))
        if "application/json" in content:
            asked = schemas.at(_mapping(content["application/json"]).get("schema"))
            answered = _mapping(_mapping(_mapping(operations)["post"]).get("responses")).get("200")
            content = _mapping(_mapping(answered).get("content"))
            told = next((_mapping(each).get("schema") for each in content.values()), None)
            yield _of_api(url, path, asked, schemas.at(told), schemas)


def _of_api(
    url: str, path: str, asked: Mapping[str, Any], answer: Mapping[str, Any], schemas: _Schemas
) -> Proposal:
    dialect: dict[str, Any] = {"kind": "bentoml", "path": path}
    notes = []
    arguments = _mapping(asked.get("properties"))
    value: Mapping[str, Any] = asked
    if len(arguments) == 1 and not asked.get("root_input"):
        (name, argument), *_ = arguments.items()
        dialect["argument"] = name
        value = schemas.at(argument)
    # A list that has one answer is one row.
    is_many = value.get("type") == answer.get("type") == "array"
    row = schemas.at(value.get("items")) if is_many else value
    if not is_many:
        dialect["rows"] = "single"
    rows = f"POST {path}: {'a list of rows' if is_many else 'one row a call'}"
    match row.get("type"):
        case "object":
            notes.append(f"{rows}, with the features {_names(row)}")
        case "array":
            dialect["features"] = ["FIRST", "SECOND"]
            notes.append(f"{rows}, each a list of values: name the features in their order")
        case kind:
            dialect["feature"] = dialect.get("argument", "value").removesuffix("s")
            notes.append(f"{rows}, each {kind or 'a value'}: name the feature that it is")
    if not is_many:
        dialect["concurrency"] = 16
    output = _output(schemas.at(answer.get("items")) if is_many else answer, schemas)
    if not output:
        notes.append("what of its answer is the score, or the decision, cannot be told: write `output`")
    version = {"endpoints": [url], "dialect": dialect} | ({"output": output} if output else {})
    return Proposal(tuple(notes), version)


def _output(answer: Mapping[str, Any], schemas: _Schemas) -> dict[str, str]:
    """The first number is taken for the score, the first text for the decision."""
    kind = answer.get("type")
    if kind in ("number", "integer"):
        return {"score": "."}
    if kind in ("string", "boolean"):
        return {"decision": "."}
    found: dict[str, str] = {}
    for name, field in _mapping(answer.get("properties")).items():
        inner = schemas.at(field).get("type")
        if inner in ("number", "integer"):
            found.setdefault("score", name)
        elif inner in ("string", "boolean"):
            found.setdefault("decision", name)
    return {key: found[key] for key in ("score", "decision") if key in found}


class _Schemas:
    """The schemas of an OpenAPI document, with what they refer to."""

    def __init__(self, docs: Mapping[str, Any]) -> None:
        self._known = _mapping(_mapping(docs.get("components")).get("schemas"))

    def at(self, schema: Any) -> Mapping[str, Any]:
        """The schema itself, behind its references; an empty one where there is none."""
        found = _mapping(schema)
        for _ in range(_MAX_DEPTH):
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            found = _mapping(self._known.get(reference.rpartition("/")[2]))
        return {}


def _names(schema: Mapping[str, Any]) -> str:
    return ", ".join(list(_mapping(schema.get("properties")))[:20]) or "that it takes"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _flow(value: Any) -> str:
    """A value of an entry on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()
