"""The router's API as OpenAPI 3.1: every path, parameter, answer and problem, described once.

`/docs` shows the same to people (`router.doors.openapi.page`). Tests hold the router to what stands here.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from router.doors.openapi.outcomes import OUTCOME_SCHEMAS
from router.doors.openapi.paths import PATHS
from router.doors.openapi.schemas import PROBLEMS, SCHEMAS

_HEADERS: Final = {
    "X-Request-ID": {
        "description": "The request's id, taken or made",
        "required": True,
        "schema": {"type": "string", "pattern": r"^[A-Za-z0-9_.\-]{1,128}$"},
    },
    "Server-Timing": {
        "description": "Where the time went, in milliseconds: the cache's look-up, the wait for a "
        "call, the call",
        "required": True,
        "schema": {
            "type": "string",
            "pattern": r"^cache;dur=\d+\.\d+, queue;dur=\d+\.\d+, model;dur=\d+\.\d+$",
        },
        "example": "cache;dur=0.31, queue;dur=0.84, model;dur=2.07",
    },
    "Retry-After": {
        "description": "Seconds after which to try again",
        "required": True,
        "schema": {"type": "string", "pattern": r"^\d+$"},
        "example": "1",
    },
    "WWW-Authenticate": {
        "description": "How to show a key",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    },
}


def _problem_responses() -> dict[str, Any]:
    """One response for each row of the table of errors in `docs/architecture.md`."""
    responses = {}
    for status, row in PROBLEMS.items():
        example = {
            "type": f"urn:ekiben:problem:{row.kind}",
            "title": row.title,
            "status": status,
            "detail": row.detail,
            "request_id": "checkout-7f3a",
        }
        name = "BadRequest" if status == 400 else "Problem"
        if status == 422:
            name = "Refusal"
            example["errors"] = [{"loc": ["income"], "msg": "Input should be a valid number"}]
        headers = ("X-Request-ID", *row.headers)
        responses[f"{status}"] = {
            "description": row.description,
            "headers": {each: {"$ref": f"#/components/headers/{each}"} for each in headers},
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{name}"},
                    "example": example,
                }
            },
        }
    return responses


@cache
def openapi_document() -> dict[str, Any]:
    """The OpenAPI document of the router. It is made once: nobody changes it."""
    try:
        release = version("ekiben")
    except PackageNotFoundError:  # run from a checkout that was not installed
        release = "0"
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
        "tags": [
            {"name": "Predictions", "description": "What applications call"},
            {"name": "Outcomes", "description": "What happened afterwards"},
            {"name": "Experiments", "description": "Who gets which variant"},
            {"name": "Models", "description": "What there is to ask"},
            {"name": "Health", "description": "For load balancers and Prometheus; never asked for a key"},
            {"name": "Documentation"},
        ],
        "paths": PATHS,
        "components": {
            "schemas": SCHEMAS | OUTCOME_SCHEMAS,
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
