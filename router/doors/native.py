"""The router's own door: `POST /predict/{model}`, from the bytes of a request to an ask, and back."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Raw

from router.doors.bodies import Prediction
from router.doors.envelope import parse_envelope, row_digest
from router.doors.replies import JSON, answer_problem, encode
from router.errors import RouterError
from router.http.asgi import Request
from router.http.costly import SMALL_BYTES, Steps, check_elements
from router.lanes.answer import Served
from router.lanes.routes import ModelRoute
from router.prediction import Ask, Reply, check_version, model_route, predict_one, record
from router.worker import Worker

_WAIT_SHARE: Final = 0.25
_NO_TIME: Final = b"cache;dur=0.00, queue;dur=0.00, model;dur=0.00"


async def predict(worker: Worker, request: Request, model: str) -> None:
    """Predict.

    Answers with the version that the user is assigned to, and with live when that version cannot answer:
    `fallback_from` then names the version that could not. The same user gets the same version every time.
    Without a user live answers, and the request is in no experiment. With a `version` that version alone
    answers.
    """
    routes = worker.routes
    route = model_route(worker, model)
    body = await request.body(worker.max_body_bytes, worker.body_timeout_s)
    started = worker.clock()
    if routes is not worker.routes:  # the body has taken its time
        route = model_route(worker, model)
    if len(body) <= SMALL_BYTES:
        ask = _read(worker, route, request, body, started)
    else:
        ask = await _read_large(worker, route, request, body, started)
    del body  # a request that waits holds its features, and not what they came in

    begun = predict_one(worker, ask)
    reply = begun if isinstance(begun, Reply) else await begun
    served = reply.served
    if isinstance(served, RouterError):
        status = await answer_problem(worker, request, served)
    else:
        status = 200
        headers = (JSON, (b"server-timing", _timing(served)))
        await request.respond(status, headers, render(ask, reply, served))
    record(worker, ask, reply, status)
    if request.span is not None:
        request.span.set(
            http__response__status_code=status,
            ekiben__request_id=request.id,
            ekiben__model=model,
            ekiben__version=reply.version,
            ekiben__experiment=reply.assignment.experiment,
            ekiben__variant=reply.assignment.variant,
            ekiben__result=reply.result,
        )


def _read(worker: Worker, route: ModelRoute, request: Request, body: bytes, started: float) -> Ask:
    row, user_id, attributes, version = parse_envelope(body, request.user_id, worker.trusts_user_header)
    if version is not None:
        check_version(route, version)
    return Ask(
        route,
        user_id,
        row,
        row_digest(row),
        started,
        started + route.plan.timeout_s,
        request.id,
        attributes,
        version,
        request.no_cache,
        request.traceparent,
    )


async def _read_large(
    worker: Worker, route: ModelRoute, request: Request, body: bytes, started: float
) -> Ask:
    def read() -> Steps[Ask]:
        yield from ()  # it is one step
        check_elements(body, worker.max_elements)
        return _read(worker, route, request, body, started)

    # What is waited for here is not left to the version, which would be blamed for it.
    return await worker.turns.read(body, read(), route.plan.timeout_s * _WAIT_SHARE)


def render(ask: Ask, reply: Reply, served: Served) -> bytes:
    """The body of a good answer."""
    answer, assignment = served.answer, reply.assignment
    return encode(
        Prediction(
            Raw(answer.body),
            ask.route.plan.name,
            reply.version,
            answer.model_version,
            None if assignment.variant is None else assignment.experiment,
            assignment.variant,
            reply.prediction_id,
            ask.request_id,
            served.tier is not None,
            UNSET if reply.fallback_from is None else reply.fallback_from,
        )
    )


def _timing(served: Served) -> bytes:
    if served.tier == "local":
        return _NO_TIME
    return (
        f"cache;dur={served.cache_ms:.2f}, queue;dur={served.queue_ms:.2f}, model;dur={served.model_ms:.2f}"
    ).encode()
