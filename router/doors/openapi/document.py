"""The router's API as OpenAPI 3.1, derived from the table of operations, the bodies and the problems.

`/docs` shows the same to people (`router.doors.openapi.page`). Tests hold the router to what stands here.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from typing import Any, Final

import msgspec

from router import errors
from router.doors.operation import Answer, Operation, Parameter
from router.http.problems import TABLE, BadRequestBody, Body, Problem, Refusal, Row, problem_of

_REF: Final = "#/components/{}/{}"
_ANY_PROBLEM: Final = (403, 421, 500)
"""What any operation may answer: to a page of another site, under a foreign name, after a fault."""
_KEY_PROBLEMS: Final = (401, 429)
_BODY_PROBLEMS: Final = (400, 408, 413, 415)


def _header(about: str, schema: dict[str, str], **example: str) -> dict[str, Any]:
    return {"description": about, "required": True, "schema": {"type": "string"} | schema, **example}


_HEADERS: Final = {
    "X-Request-ID": _header("The request's id, taken or made", {"pattern": r"^[A-Za-z0-9_.\-]{1,128}$"}),
    "Server-Timing": _header(
        "Where the time went, in milliseconds: the cache's look-up, the wait for a call, the call",
        {"pattern": r"^cache;dur=\d+\.\d+, queue;dur=\d+\.\d+, model;dur=\d+\.\d+$"},
        example="cache;dur=0.31, queue;dur=0.84, model;dur=2.07",
    ),
    "Retry-After": _header("Seconds after which to try again", {"pattern": r"^\d+$"}, example="1"),
    "WWW-Authenticate": _header("How to show a key", {"const": "Bearer"}),
}
_PROBLEM_HEADERS: Final = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_PROBLEM_BODIES: Final = {400: BadRequestBody, 422: Refusal}
_REQUEST_ID: Final = Parameter(
    "X-Request-ID",
    "header",
    "An id of your own for this request. It is taken when it has 1 to 128 letters, digits, `_`, `-` or `.`. "
    "Another is made otherwise. Every answer names the one that counts.",
    "checkout-7f3a",
)
_TAGS: Final = {
    "Predictions": "What applications call",
    "Outcomes": "What happened afterwards",
    "Experiments": "Who gets which variant",
    "Models": "What there is to ask",
    "Health": "For load balancers and Prometheus; never asked for a key",
    "Documentation": "",
}


def openapi_document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI document of these operations."""
    try:
        release = version("ekiben")
    except PackageNotFoundError:  # run from a checkout that was not installed
        release = "0"
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ekiben router",
            "version": release,
            "summary": "Versions of a model behind one address",
            "description": (
                "Every user gets one version of a model and keeps it. Every error is a problem (RFC 9457). "
                "A page answers HEAD as it answers GET; any other method is 405 with `Allow`."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"key": []}],
        "tags": [{"name": name} | ({"description": text} if text else {}) for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "headers": _HEADERS,
            "responses": _problem_responses(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Asked for where `EKIBEN_API_KEYS` names keys",
                }
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    summary, _, about = (inspect.getdoc(operation.handler) or "").partition("\n\n")
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "operationId": operation.id,
        "summary": summary.removesuffix("."),
        "parameters": [_parameter(each) for each in (*operation.parameters, _REQUEST_ID)],
    }
    problems = {*_ANY_PROBLEM, *operation.problems}
    if about:
        described["description"] = " ".join(about.split())
    if operation.right is None:
        described["security"] = []
    else:
        problems.update(_KEY_PROBLEMS)
    if (asked := operation.asked) is not None:
        problems.update(_BODY_PROBLEMS)
        media = {"schema": _ref("schemas", asked.body.__name__), "example": asked.example}
        described["requestBody"] = {
            "required": True,
            "description": asked.about,
            "content": {"application/json": media},
        }
    responses = {str(each.status): _answer(each) for each in operation.answers}
    described["responses"] = responses | {
        str(status): _ref("responses", str(status)) for status in sorted(problems)
    }
    return described


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        **({} if parameter.place == "header" else {"required": True}),
        "description": parameter.about,
        "schema": {"type": "string"} | parameter.schema,
        "example": parameter.example,
    }


def _answer(answer: Answer) -> dict[str, Any]:
    shown = answer.example
    if isinstance(shown, str):
        content: dict[str, Any] = {
            shown: {"schema": {"type": "object" if shown.endswith("json") else "string"}}
        }
    else:
        example = msgspec.json.decode(msgspec.json.encode(shown))
        content = {"application/json": {"schema": _ref("schemas", type(shown).__name__), "example": example}}
    return _response(answer.about, answer.headers, content)


def _problem_responses() -> dict[str, Any]:
    """One response a status, with an example of each type of problem that has it."""
    responses: dict[str, Any] = {}
    by_status = sorted((row for row in TABLE if row.status != 405), key=lambda row: row.status)
    for status, group in groupby(by_status, key=lambda row: row.status):
        rows = list(group)
        body = _PROBLEM_BODIES.get(status, Problem)
        media = {
            "schema": _ref("schemas", body.__name__),
            "examples": {row.name: {"value": _example(row)} for row in rows},
        }
        about = " ".join(f"`{row.name}`: {inspect.getdoc(row.error)}" for row in rows)
        headers = _PROBLEM_HEADERS.get(status, ())
        responses[str(status)] = _response(about, headers, {"application/problem+json": media})
    return responses


def _example(row: Row) -> Any:
    refused = row.error is errors.RowRefused
    wrong = [{"loc": ["income"], "msg": "Input should be a valid number"}] if refused else None
    return msgspec.to_builtins(problem_of(row, row.example, _REQUEST_ID.example, wrong))


def _response(about: str, headers: Iterable[str], content: dict[str, Any]) -> dict[str, Any]:
    named = {name: _ref("headers", name) for name in ("X-Request-ID", *headers)}
    return {"description": about, "headers": named, "content": content}


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    types: list[type[Body]] = [each.asked.body for each in operations if each.asked is not None]
    examples = (answer.example for each in operations for answer in each.answers)
    types += (type(example) for example in examples if not isinstance(example, str))
    _, schemas = msgspec.json.schema_components(
        [*types, Problem, *_PROBLEM_BODIES.values()], ref_template=_REF.format("schemas", "{name}")
    )
    return schemas


def _ref(room: str, name: str) -> dict[str, str]:
    return {"$ref": _REF.format(room, name)}
