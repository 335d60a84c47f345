"""What the bodies of the API look like (JSON Schema 2020-12), and the problems with their words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, get_args

from ekiben.state.documents.applying import FileState


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """A row of the table of problems: kind and title are those of `router.http.problems`."""

    kind: str
    title: str
    description: str
    detail: str
    headers: tuple[str, ...] = ()


PROBLEMS: Final[dict[int, ProblemRow]] = {
    400: ProblemRow(
        "bad-request",
        "The request cannot be read",
        "Not strict JSON, no `features`, a wrong type, or an empty user; of outcomes, `errors` tells which "
        "and why, up to 100 of them",
        "`features` is missing",
    ),
    401: ProblemRow(
        "unauthorized",
        "A key is needed",
        "No key, or one that is not known, where keys are set",
        "give a key: Authorization: Bearer KEY",
        ("WWW-Authenticate",),
    ),
    403: ProblemRow(
        "forbidden",
        "Not allowed",
        "The key may not do this; or a web page asks whose origin is neither the router's own nor in "
        "`EKIBEN_ALLOWED_ORIGINS` (of type `foreign-origin`)",
        "this key may not predict",
    ),
    404: ProblemRow(
        "not-found", "Not found", "No such model, experiment or page", "there is no model 'credits'"
    ),
    408: ProblemRow(
        "too-slow",
        "The request took too long to arrive",
        "The body did not arrive in time",
        "a body has to arrive within 10 s",
    ),
    413: ProblemRow(
        "body-too-large",
        "The body is too large",
        "More bytes or more elements than the router is set to take",
        "a body may have 1048576 bytes",
    ),
    415: ProblemRow(
        "not-json",
        "The body is not sent as JSON",
        "The `Content-Type` of the body is missing, or is not `application/json`; or the body is compressed "
        "(of type `body-encoded`)",
        "send the body as JSON, with the header Content-Type: application/json",
    ),
    421: ProblemRow(
        "unknown-host",
        "Not a name of this router",
        "The `Host` header is missing, or names something that the router does not answer to: "
        "`EKIBEN_ALLOWED_HOSTS` lists further names",
        "this router does not answer to the name 'shop.example.com'; EKIBEN_ALLOWED_HOSTS lists other names",
    ),
    422: ProblemRow(
        "features-refused",
        "The features were refused",
        "The model service refused the features; `errors` tells which and why. There is no fallback.",
        "the model service refused the features",
    ),
    429: ProblemRow(
        "too-many-requests",
        "Too many requests",
        "The key's rate, 1,000 requests a second in each worker unless set otherwise, is used up",
        "this key's rate is used up",
        ("Retry-After",),
    ),
    500: ProblemRow(
        "internal-error",
        "An error in the router",
        "A fault of the router's own",
        "the router's log has more under this id",
    ),
    502: ProblemRow(
        "version-failed",
        "The model could not answer",
        "The version failed, and so did live",
        "every endpoint's breaker is open",
    ),
    503: ProblemRow(
        "overloaded",
        "Too busy",
        "The queue is full or too long for the deadline; too many large requests wait; outcomes cannot be "
        "written now; or the router is not ready",
        "4096 requests are waiting for this version",
        ("Retry-After",),
    ),
    504: ProblemRow(
        "deadline-passed",
        "The deadline passed",
        "No version answered before the model's `timeout_ms`",
        "no answer before the deadline",
    ),
}

PREDICTION: Final = {
    "prediction": {"probability_bad": 0.124, "decision": "accept"},
    "model": "credit",
    "version": "v2",
    "model_version": "credit_v2:3f2a",
    "experiment": "credit-boosting",
    "variant": "treatment",
    "prediction_id": "019b2f5d7a3e7c419d0e52b8a6f13c77",
    "request_id": "checkout-7f3a",
    "cached": False,
}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _nullable(description: str, kind: str = "string") -> dict[str, Any]:
    return {"type": [kind, "null"], "description": description}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
        **more,
    }


def _errors(description: str, where: str) -> dict[str, Any]:
    loc = {
        "type": "array",
        "items": {"type": ["string", "integer"]},
        "description": f"Where: the path {where}",
    }
    return {
        "type": "array",
        "description": description,
        "items": _object({"loc": loc, "msg": _text("Why")}),
    }


_NAME = _text("The model's name")
_LIVE = _text("The version that serves everyone outside experiments")
_RUNNING = _nullable("The running experiment, null without one")
_REQUEST_ID = _text("The request's id, taken or made")
_PROBLEM: Final[dict[str, Any]] = {
    "type": _text("What kind of problem it is, for programs", format="uri"),
    "title": _text("The kind in words"),
    "status": {"type": "integer", "description": "The HTTP status", "minimum": 400, "maximum": 599},
    "detail": _text("What happened this time, for people"),
    "request_id": _REQUEST_ID,
}

SCHEMAS: Final[dict[str, Any]] = {
    "PredictionRequest": _object(
        {
            "user_id": _text(
                "Who the prediction is for; wins over `X-User-ID`, unless that alone is trusted",
                minLength=1,
                maxLength=256,
            ),
            "features": {
                "type": "object",
                "description": "What the model service takes; the router interprets nothing in it. "
                "`GET /models/{model}` has its schema.",
            },
        },
        optional=("user_id",),
    ),
    "Prediction": _object(
        {
            "prediction": {"type": "object", "description": "The model service's own answer"},
            "model": _NAME,
            "version": _text("The version that answered"),
            "model_version": _text("The exact tag of what answered"),
            "experiment": _nullable("The experiment the user takes part in, null outside"),
            "variant": _nullable("The user's variant, null outside an experiment"),
            "prediction_id": _text("Unique; outcomes name it"),
            "request_id": _REQUEST_ID,
            "cached": {"type": "boolean", "description": "Whether the answer was known already"},
            "fallback_from": _text("The assigned version, where it failed and live answered"),
        },
        optional=("fallback_from",),
    ),
    "ModelSummary": _object(
        {
            "name": _NAME,
            "live": _LIVE,
            "versions": {"type": "array", "items": {"type": "string"}, "description": "Its versions"},
            "experiment": _RUNNING,
        }
    ),
    "Models": _object({"models": {"type": "array", "items": {"$ref": "#/components/schemas/ModelSummary"}}}),
    "Model": _object(
        {
            "name": _NAME,
            "live": _LIVE,
            "experiment": _RUNNING,
            "versions": {
                "type": "object",
                "description": "By version",
                "additionalProperties": {"$ref": "#/components/schemas/Version"},
            },
        }
    ),
    "Version": _object(
        {
            "info": _nullable("The service's `/model/info`, null before it was reached", "object"),
            "endpoints": {"type": "array", "items": {"$ref": "#/components/schemas/Endpoint"}},
        }
    ),
    "Endpoint": _object(
        {
            "url": _text("Where it is", format="uri"),
            "healthy": {"type": "boolean", "description": "It was reached and may be called"},
            "breaker": {
                "type": "string",
                "enum": ["closed", "returning", "trial", "open"],
                "description": "Whether calls go there: all, a growing share, one on trial, none",
            },
            "calls_in_flight": {"type": "integer", "minimum": 0, "description": "Of the worker that answers"},
            "last_error": _nullable("Why it failed last"),
        },
        optional=("url", "last_error"),
        description="`url` and `last_error` are for who gives a key, or reaches a router on loopback",
    ),
    "Assignment": _object(
        {
            "experiment": _text("The experiment's key"),
            "in_experiment": {"type": "boolean", "description": "Whether the user takes part"},
            "variant": _nullable("The user's variant, null outside"),
            "version": _text("The version that serves the user"),
            "bucket": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": 9999,
                "description": "Where the user's hash falls",
            },
            "reason": {
                "type": "string",
                "enum": ["status", "override", "namespace", "range", "none"],
                "description": "What decided",
            },
        }
    ),
    "Status": _object({"status": {"type": "string", "enum": ["alive", "ready"]}}),
    "Health": _object(
        {
            "live": {"type": "boolean", "description": "The process runs"},
            "ready": {"type": "boolean", "description": "It has experiments to route by and is not stopping"},
            "draining": {"type": "boolean", "description": "It is stopping"},
            "panic": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Models that the panic switch sends to live, `*` for all of them",
            },
            "revision": _nullable("Of the experiments it routes by", "integer"),
            "lineage": _nullable("The history that the revision belongs to"),
            "experiments_trouble": _nullable("Why they are not those that Redis holds"),
            "experiments_file": {
                "type": ["object", "null"],
                "description": "How the experiments file stands, where this router looks after it",
                "properties": {
                    "file": _text("Its path"),
                    "state": {"type": "string", "enum": list(get_args(FileState))},
                    "since": {"type": "number", "description": "In seconds since 1970"},
                    "lines": {"type": "array", "items": {"type": "string"}, "description": "Why"},
                },
                "required": ["file", "state", "since", "lines"],
                "additionalProperties": False,
            },
            "not_run": {
                "type": "object",
                "description": "Experiments of a newer release, which this one does not run, and why",
                "additionalProperties": {"type": "string"},
            },
            "dependencies": {
                "type": "object",
                "description": "Each Redis, and each version as `model/version`",
                "additionalProperties": {"type": "string", "enum": ["up", "down"]},
            },
            "state": {
                "type": ["object", "null"],
                "description": "Whether the state Redis keeps what it confirms",
                "properties": {
                    "durable": _nullable("null: not known yet", "boolean"),
                    "reason": _nullable("Why it would lose what it confirms, and what to set"),
                    "not_read": _nullable("What the server does not say"),
                    "setting": {"type": "string", "description": "EKIBEN_STATE_DURABLE"},
                },
                "required": ["durable", "reason", "not_read", "setting"],
                "additionalProperties": False,
            },
        }
    ),
    "Problem": _object(_PROBLEM, description="RFC 9457"),
    "BadRequest": _object(
        {**_PROBLEM, "errors": _errors("Of outcomes: what is wrong with which", "in the body")},
        optional=("errors",),
        description="RFC 9457, with the outcomes at fault",
    ),
    "Refusal": _object(
        {**_PROBLEM, "errors": _errors("What is wrong with the features", "in the features")},
        description="RFC 9457, with the features at fault",
    ),
}
