"""The one table of what the router answers.

Dispatch with its 404 and 405, keys, the API's description and the labels of BentoML's metrics come from it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from msgspec import Raw

from ekiben.state.user import MAX_USER_ID_CHARS
from router.doors import bodies, pages
from router.doors.native import predict
from router.doors.openapi.document import openapi_document
from router.doors.openapi.page import docs_page
from router.doors.operation import Answer, Asked, Handler, Operation, Parameter
from router.doors.outcomes import MAX_ELEMENTS, take_outcomes
from router.doors.replies import JSON, encode
from router.http.asgi import Header, Request
from router.http.keys import OUTCOMES
from router.worker import Worker

_HTML: Final[Header] = (b"content-type", b"text/html; charset=utf-8")


async def openapi(_worker: Worker, request: Request) -> None:
    """This document."""
    await request.respond(200, (JSON,), _documentation()[0])


async def docs(_worker: Worker, request: Request) -> None:
    """This document as a page."""
    await request.respond(200, (_HTML,), _documentation()[1])


@cache
def description() -> dict[str, Any]:
    """The API's description, made once: nobody changes it."""
    return openapi_document(OPERATIONS)


@cache
def _documentation() -> tuple[bytes, bytes]:
    return encode(description()), docs_page(description())


_MODEL: Final = Parameter("model", "path", "The model, as `GET /models` names it", "credit", {"minLength": 1})
_EXPERIMENT: Final = Parameter(
    "experiment", "path", "The experiment's key", "credit-boosting", {"minLength": 1}
)
_USER: Final = Parameter(
    "user_id", "query", "The user, once", "u-17", {"minLength": 1, "maxLength": MAX_USER_ID_CHARS}
)
_USER_HEADER: Final = Parameter(
    "X-User-ID",
    "header",
    "The user, where the body has none: 1 to 256 characters, in UTF-8",
    "u-17",
    {"pattern": "^[!-~]([\\t -~]{0,254}[!-~])?$"},
)
_CACHE_CONTROL: Final = Parameter(
    "Cache-Control", "header", "With `no-cache` the model is asked even when the answer is known", "no-cache"
)
_ID: Final = "019b2f5d7a3e7c419d0e52b8a6f13c77"
_REQUEST_ID: Final = "checkout-7f3a"
_PREDICTION: Final = bodies.Prediction(
    Raw(b'{"probability_bad":0.124,"decision":"accept"}'),
    *("credit", "v2", "credit_v2:3f2a", "credit-boosting", "treatment", _ID, _REQUEST_ID, False),
)
_ASSIGNMENT: Final = bodies.Assignment("credit-boosting", True, "treatment", "v2", 8123, "range")
_SUMMARY: Final = bodies.ModelSummary("credit", "v1", ["v1", "v2"], "credit-boosting")
_ENDPOINT: Final = bodies.Endpoint(
    url="http://127.0.0.1:3001", healthy=True, breaker="closed", calls_in_flight=1, last_error=None
)
_VERSION: Final = bodies.Version({"model_version": "credit_v1:3f2a"}, [_ENDPOINT])
_HEALTH: Final = bodies.Health(
    live=True,
    ready=True,
    draining=False,
    panic=[],
    revision=7,
    lineage="9f86d081884c7d65",
    experiments_trouble=None,
    experiments_file=None,
    not_run={},
    dependencies={"cache": "up", "state": "up", "credit/v1": "up", "credit/v2": "down"},
    state=bodies.State(durable=True, reason=None, not_read=None, setting="check"),
)


def _open(path: str, handler: Handler, tag: str, *answers: Answer, **more: Any) -> Operation:
    """A page that needs no key. Its id is its handler's name."""
    return Operation(path, handler, handler.__name__, tag, answers, right=None, **more)


OPERATIONS: Final = (
    Operation(
        "/predict/{model}",
        predict,
        "predict",
        "Predictions",
        (Answer("The prediction", _PREDICTION, headers=("Server-Timing",)),),
        (404, 422, 502, 503, 504),
        method="POST",
        asked=Asked(
            "At most 1 MiB and 20,000 elements (commas, colons and opening brackets), unless the router is "
            "set otherwise. It is strict JSON, and its Content-Type says so. Of a key that stands twice the "
            "last counts. An integer beyond 64 bits is read as a floating-point number and loses digits: "
            "send such ids as text.",
            bodies.PredictionRequest,
            {"user_id": "u-17", "features": {"age": 31, "income": 2100.0, "home": "rent"}},
        ),
        parameters=(_MODEL, _USER_HEADER, _CACHE_CONTROL),
        traced=True,
    ),
    Operation(
        "/outcomes",
        take_outcomes,
        "sendOutcomes",
        "Outcomes",
        (Answer("They are on disk", bodies.OutcomesAccepted(1, _REQUEST_ID), 202),),
        (503,),
        method="POST",
        right=OUTCOMES,
        asked=Asked(
            f"At most 1 MiB, unless the router is set otherwise, and {MAX_ELEMENTS:,} elements (commas, "
            "colons and opening brackets). It is strict JSON, and its Content-Type says so.",
            bodies.OutcomesRequest,
            {
                "outcomes": [
                    {
                        "prediction_id": _ID,
                        "name": "profit",
                        "value": 12.5,
                        "at": "2026-11-21T10:00:00Z",
                        "id": "loan-4711-profit",
                    }
                ]
            },
        ),
    ),
    Operation(
        "/assignment/{experiment}",
        pages.assignment,
        "getAssignment",
        "Experiments",
        (Answer("The assignment", _ASSIGNMENT),),
        (400, 404, 503),
        parameters=(_EXPERIMENT, _USER),
    ),
    Operation(
        "/models",
        pages.models,
        "listModels",
        "Models",
        (Answer("The models", bodies.Models([_SUMMARY])),),
        (503,),
    ),
    Operation(
        "/models/{model}",
        pages.model,
        "getModel",
        "Models",
        (Answer("The model", bodies.Model("credit", "v1", None, {"v1": _VERSION})),),
        (404, 503),
        parameters=(_MODEL,),
    ),
    _open("/livez", pages.livez, "Health", Answer("It runs", bodies.Status("alive")), any_host=True),
    _open(
        "/readyz",
        pages.readyz,
        "Health",
        Answer("Ready", bodies.Status("ready")),
        problems=(503,),
        any_host=True,
    ),
    _open(
        "/healthz",
        pages.healthz,
        "Health",
        Answer("Ready", _HEALTH),
        Answer("Not ready; the body says the same", _HEALTH, 503),
    ),
    _open("/metrics", pages.metrics, "Health", Answer("The metrics", "text/plain")),
    _open("/openapi.json", openapi, "Documentation", Answer("This document", "application/json")),
    _open("/docs", docs, "Documentation", Answer("The page", "text/html")),
)
PROBES: Final = frozenset(each.path for each in OPERATIONS if each.any_host)
PLAIN: Final = frozenset(each.path for each in OPERATIONS if "{" not in each.path)
"""Paths without a name in them."""
PREFIXES: Final = tuple(each.path[: each.path.index("{")] for each in OPERATIONS if "{" in each.path)
