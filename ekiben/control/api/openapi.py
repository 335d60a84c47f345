"""The admin API as OpenAPI 3.1, made from its operations and the types of their bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ekiben.control.api.problems import BadRequest, NotFound, Problem, Unauthorized, titles
from ekiben.control.auth import TooManyAttempts
from ekiben.state.connecting import StateUnavailable

_REFERENCE: Final = "#/components/schemas/"


@dataclass(frozen=True, slots=True)
class Operation:
    """What is done at a path. With a `body` it is a POST that changes something, else a GET."""

    path: str
    handler: Callable[..., Any]
    help: str = ""  # the handler's docstring unless given
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: type[msgspec.Struct] | None = None
    also: str = ""  # another media type that it can answer with, as text

    @property
    def method(self) -> str:
        """GET or POST."""
        return "GET" if self.body is None else "POST"


def describe(operations: Iterable[Operation]) -> dict[str, Any]:
    """The description of an API of these operations."""
    operations = tuple(operations)
    bodies = list(dict.fromkeys(each.body for each in operations if each.body is not None))
    answers = [Problem, *(each.answer for each in operations if each.answer is not None)]
    _, answered = msgspec.json.schema_components(answers, ref_template=_REFERENCE + "{name}")
    _, asked = models_json_schema(
        [(body, "validation") for body in bodies], ref_template=_REFERENCE + "{model}"
    )
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ekiben, admin API", "version": "1"},
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": {**answered, **asked["$defs"]},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    summary, _, rest = (operation.help or operation.handler.__doc__ or "").partition("\n")
    answer = {"type": "object"} if operation.answer is None else _schema(operation.answer)
    content: dict[str, Any] = {"application/json": {"schema": answer}}
    if operation.also:
        content[operation.also] = {"schema": {"type": "string"}}
    problem = {"application/problem+json": {"schema": _schema(Problem)}}
    reading = (BadRequest, Unauthorized, NotFound, TooManyAttempts, StateUnavailable)
    described: dict[str, Any] = {
        "summary": summary.rstrip("."),
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation.query)],
        "responses": {
            "200": {"description": "As asked", "content": content},
            **{
                str(status): {"description": title, "content": problem}
                for status, title in titles(reading if operation.body is None else None).items()
            },
        },
    }
    if rest.strip():
        described["description"] = rest.strip()
    if operation.body is not None:
        body = {"application/json": {"schema": _schema(operation.body)}}
        described |= {"requestBody": {"required": True, "content": body}, "security": [{"token": []}]}
    return described


def _schema(kind: type) -> dict[str, Any]:
    return {"$ref": _REFERENCE + kind.__name__}


def _path_parameters(path: str) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(query: type[BaseModel] | None) -> Iterable[dict[str, Any]]:
    schema = query.model_json_schema() if query is not None else {}
    for name, each in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        yield {"name": name, "in": "query", "required": required, "schema": each}
