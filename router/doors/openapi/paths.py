"""The operations of the API: what each page takes, and what it answers."""

from __future__ import annotations

from typing import Any, Final

from router.doors.openapi.outcomes import OUTCOMES
from router.doors.openapi.schemas import PREDICTION

_JSON: Final = "application/json"

_MODEL_PARAMETER: Final = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The model, as `GET /models` names it",
    "schema": {"type": "string", "minLength": 1},
    "example": "credit",
}
_REQUEST_ID_PARAMETER: Final = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "An id of your own for this request. It is taken when it has 1 to 128 letters, digits, "
    "`_`, `-` or `.`; another is made otherwise. Every answer names the one that counts.",
    "schema": {"type": "string"},
    "example": "checkout-7f3a",
}


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _answers(ok: dict[str, Any], *problems: int) -> dict[str, Any]:
    """The responses of an operation: its good one, and these problems; what is asked under a name that is not
    the router's is a 421 everywhere, what comes from another site's page a 403, and any may be a 500.
    """
    everywhere = (403, 421, 500)
    refs = {
        str(status): {"$ref": f"#/components/responses/{status}"}
        for status in sorted({*problems, *everywhere})
    }
    return {"200": ok, **refs}


def _ok(description: str, schema: str, example: Any, *headers: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {name: _header(name) for name in ("X-Request-ID", *headers)},
        "content": {_JSON: {"schema": _schema(schema), "example": example}},
    }


def _text_ok(description: str, media_type: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"X-Request-ID": _header("X-Request-ID")},
        "content": {media_type: {"schema": {"type": "string"}}},
    }


def _get(tag: str, name: str, summary: str, responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    parameters = [*more.pop("parameters", []), _REQUEST_ID_PARAMETER]
    return {
        "get": {
            "tags": [tag],
            "operationId": name,
            "summary": summary,
            "parameters": parameters,
            "responses": responses,
            **more,
        }
    }


_OPEN: Final[dict[str, Any]] = {"security": []}
_KEY_PROBLEMS: Final = (401, 429)

_PREDICT: Final = {
    "post": {
        "tags": ["Predictions"],
        "operationId": "predict",
        "summary": "Predict",
        "description": (
            "Answers with the version that the user is assigned to, and with live when that version cannot "
            "answer: `fallback_from` then names the version that could not. The same user gets the same "
            "version every time. Without a user live answers, and the request is in no experiment."
        ),
        "parameters": [
            _MODEL_PARAMETER,
            {
                "name": "X-User-ID",
                "in": "header",
                "description": "The user, where the body has none: 1 to 256 characters, in UTF-8",
                "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,254}[!-~])?$"},
                "example": "u-17",
            },
            {
                "name": "Cache-Control",
                "in": "header",
                "description": "With `no-cache` the model is asked even when the answer is known",
                "schema": {"type": "string"},
                "example": "no-cache",
            },
            _REQUEST_ID_PARAMETER,
        ],
        "requestBody": {
            "required": True,
            "description": "At most 1 MiB and 20,000 elements (commas, colons and opening brackets), unless "
            "the router is set otherwise. It is strict JSON, and its Content-Type says so; of a key that "
            "stands twice the last counts. An integer beyond 64 bits is read as a floating-point number and "
            "loses digits: send such ids as text.",
            "content": {
                _JSON: {
                    "schema": _schema("PredictionRequest"),
                    "example": {"user_id": "u-17", "features": {"age": 31, "income": 2100.0, "home": "rent"}},
                }
            },
        },
        "responses": _answers(
            _ok("The prediction", "Prediction", PREDICTION, "Server-Timing"),
            *(400, 404, 408, 413, 415, 422, 502, 503, 504),
            *_KEY_PROBLEMS,
        ),
    }
}

_MODELS: Final = _get(
    "Models",
    "listModels",
    "Every model, in short",
    _answers(
        _ok(
            "The models",
            "Models",
            {
                "models": [
                    {
                        "name": "credit",
                        "live": "v1",
                        "versions": ["v1", "v2"],
                        "experiment": "credit-boosting",
                    }
                ]
            },
        ),
        503,
        *_KEY_PROBLEMS,
    ),
)

_MODEL: Final = _get(
    "Models",
    "getModel",
    "One model: what each version is, and how its endpoints are",
    _answers(
        _ok(
            "The model",
            "Model",
            {
                "name": "credit",
                "live": "v1",
                "experiment": None,
                "versions": {
                    "v1": {
                        "info": {"model_version": "credit_v1:3f2a", "output": {"score": "probability_bad"}},
                        "endpoints": [
                            {
                                "url": "http://127.0.0.1:3001",
                                "healthy": True,
                                "breaker": "closed",
                                "calls_in_flight": 1,
                                "last_error": None,
                            }
                        ],
                    }
                },
            },
        ),
        404,
        503,
        *_KEY_PROBLEMS,
    ),
    parameters=[_MODEL_PARAMETER],
)

_ASSIGNMENT: Final = _get(
    "Experiments",
    "getAssignment",
    "What an experiment does with a user; nothing is recorded",
    _answers(
        _ok(
            "The assignment",
            "Assignment",
            {
                "experiment": "credit-boosting",
                "in_experiment": True,
                "variant": "treatment",
                "version": "v2",
                "bucket": 8123,
                "reason": "range",
            },
        ),
        400,
        404,
        503,
        *_KEY_PROBLEMS,
    ),
    parameters=[
        {
            "name": "experiment",
            "in": "path",
            "required": True,
            "description": "The experiment's key",
            "schema": {"type": "string", "minLength": 1},
            "example": "credit-boosting",
        },
        {
            "name": "user_id",
            "in": "query",
            "required": True,
            "description": "The user, once",
            "schema": {"type": "string", "minLength": 1, "maxLength": 256},
            "example": "u-17",
        },
    ],
)

_HEALTH_OK: Final = _ok(
    "Ready",
    "Health",
    {
        "live": True,
        "ready": True,
        "draining": False,
        "panic": [],
        "revision": 7,
        "lineage": "9f86d081884c7d65",
        "experiments_trouble": None,
        "experiments_file": None,
        "not_run": {},
        "dependencies": {"cache": "up", "state": "up", "credit/v1": "up", "credit/v2": "down"},
        "state": {"durable": True, "reason": None, "not_read": None, "setting": "check"},
    },
)

PATHS: Final[dict[str, Any]] = {
    "/predict/{model}": _PREDICT,
    "/outcomes": OUTCOMES,
    "/assignment/{experiment}": _ASSIGNMENT,
    "/models": _MODELS,
    "/models/{model}": _MODEL,
    "/livez": _get(
        "Health",
        "livez",
        "The process runs",
        _answers(_ok("It runs", "Status", {"status": "alive"})),
        **_OPEN,
    ),
    "/readyz": _get(
        "Health",
        "readyz",
        "It has experiments to route by and is not stopping",
        _answers(_ok("Ready", "Status", {"status": "ready"}), 503),
        description="A version that is down does not make the router unready: it would turn everyone away.",
        **_OPEN,
    ),
    "/healthz": _get(
        "Health",
        "healthz",
        "Both, and the state of each dependency",
        {**_answers(_HEALTH_OK), "503": {**_HEALTH_OK, "description": "Not ready; the body says the same"}},
        **_OPEN,
    ),
    "/metrics": _get(
        "Health",
        "metrics",
        "Prometheus metrics, summed over the workers",
        _answers(_text_ok("The metrics", "text/plain")),
        description="docs/metrics.md describes each.",
        **_OPEN,
    ),
    "/openapi.json": _get(
        "Documentation",
        "openapi",
        "This document",
        _answers(
            {
                "description": "This document",
                "headers": {"X-Request-ID": _header("X-Request-ID")},
                "content": {_JSON: {"schema": {"type": "object"}}},
            }
        ),
        **_OPEN,
    ),
    "/docs": _get(
        "Documentation",
        "docs",
        "This document as a page",
        _answers(_text_ok("The page", "text/html")),
        **_OPEN,
    ),
}
