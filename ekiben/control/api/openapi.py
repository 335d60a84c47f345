"""The admin API as OpenAPI 3.1: every path with its parameters, bodies and answers."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from ekiben.control.api.requests import (
    AcknowledgeBody,
    ApplyBody,
    ChangeBody,
    ForgetBody,
    PromoteBody,
    RampBody,
    ShadowBody,
)
from ekiben.experiments.planning import Plan
from ekiben.experiments.report import Report

_KEY: Final = {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}}
_MODEL: Final = _KEY | {"name": "model"}


def _query(name: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


_PAGE: Final = [
    _query("limit", {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}),
    _query("before", {"type": "string", "pattern": "^[0-9]{1,20}-[0-9]{1,20}$"}),
    _query("documents", {"type": "boolean", "default": False}),
]
_NUMBER: Final = {"type": "number"}
_PLAN: Final = [
    _query("effect", {"type": "string", "maxLength": 40, "examples": ["5%", "2.5"]}, required=True),
    *(_query(name, _NUMBER) for name in ("power", "users_per_day", "mean", "std")),
]

# path: what it tells, its parameters, the schema of its answer ("" for a plain object).
_READS: Final[dict[str, tuple[str, list[dict[str, Any]], str]]] = {
    "/status": ("The installation at a glance", [], ""),
    "/experiments": ("Every experiment, with its verdict and its ramp", [], ""),
    "/experiments/{key}": ("One experiment, with its verdict and its ramp", [_KEY], ""),
    "/experiments/{key}/report": ("The last report", [_KEY], "Report"),
    "/experiments/{key}/history": ("The changes of an experiment, newest first", [_KEY, *_PAGE], ""),
    "/experiments/{key}/plan": ("How many users and days an effect needs", [_KEY, *_PLAN], "Plan"),
    "/history": ("All changes, newest first", _PAGE, ""),
    "/models/{model}/shadow": ("Shadow versions beside what answered", [_MODEL], ""),
    "/document": ("The document in force, as `POST /apply` takes it", [], ""),
    "/openapi.json": ("This description", [], ""),
}
# path: what it does, its parameters, its body.
_CHANGES: Final[dict[str, tuple[str, list[dict[str, Any]], str]]] = {
    "/apply": (
        "Apply what a file (YAML text) changes, or replace the document (JSON)",
        [],
        "ApplyBody",
    ),
    "/experiments/{key}/start": ("A draft begins to assign users", [_KEY], "ChangeBody"),
    "/experiments/{key}/pause": ("Everyone gets live until it is resumed", [_KEY], "ChangeBody"),
    "/experiments/{key}/resume": ("A paused experiment goes on", [_KEY], "ChangeBody"),
    "/experiments/{key}/promote": ("It ends, and a treatment becomes live", [_KEY], "PromoteBody"),
    "/experiments/{key}/roll-back": ("It ends with the control", [_KEY], "ChangeBody"),
    "/experiments/{key}/ramp": ("Set, change or take away its ramp", [_KEY], "RampBody"),
    "/experiments/{key}/acknowledge": ("Redeployments block no verdict", [_KEY], "AcknowledgeBody"),
    "/models/{model}/shadow": ("Copy a share of the requests to a version", [_MODEL], "ShadowBody"),
    "/events/forget": ("Remove a user's events and overrides", [], "ForgetBody"),
}
_READ_PROBLEMS: Final = {
    "400": "The request cannot be read",
    "401": "The admin token is needed: off loopback for reading too",
    "404": "Not found",
    "429": "Too many wrong tokens",
    "503": "The state Redis does not answer",
}
_CHANGE_PROBLEMS: Final = _READ_PROBLEMS | {
    "403": "A viewer changes nothing",
    "409": "The experiments are at another revision, or there are none",
    "413": "The body is over 1 MiB",
    "422": "The document or the change is refused",
}
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "string"}},
        "revision": {"type": "integer"},
        "meanwhile": {"type": "array", "items": {"type": "object"}},
    },
}


@cache
def openapi() -> dict[str, Any]:
    """The description."""
    bodies = (ChangeBody, ApplyBody, PromoteBody, RampBody, AcknowledgeBody, ForgetBody, ShadowBody)
    _, schemas = msgspec.json.schema_components(
        (*bodies, Report, Plan), ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, Any] = {}
    for path, (summary, parameters, answer) in _READS.items():
        schema = {"$ref": f"#/components/schemas/{answer}"} if answer else {"type": "object"}
        paths[path] = {"get": _operation(summary, parameters, schema, _READ_PROBLEMS)}
    for path, (summary, parameters, body) in _CHANGES.items():
        operation = _operation(summary, parameters, {"type": "object"}, _CHANGE_PROBLEMS)
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}}
        operation["requestBody"] = {"required": True, "content": content}
        operation["security"] = [{"token": []}]
        paths.setdefault(path, {})["post"] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Ekiben, admin API", "version": "1"},
        "servers": [{"url": "/api"}],
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(
    summary: str, parameters: list[dict[str, Any]], answer: dict[str, Any], problems: dict[str, str]
) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        "summary": summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "As asked", "content": {"application/json": {"schema": answer}}},
            **{
                status: {"description": description, "content": problem}
                for status, description in problems.items()
            },
        },
    }
