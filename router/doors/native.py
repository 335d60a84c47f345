"""The router's own door: `POST /predict/{model}`, from the bytes of a request to an ask, and back."""

from __future__ import annotations

from typing import Final

import orjson

from router.doors.envelope import parse_envelope, row_digest
from router.errors import RouterError
from router.http.asgi import Request, Send
from router.http.costly import SMALL_BYTES, check_elements, is_costly, one_step
from router.http.problems import render_problem
from router.lanes.answer import Served
from router.lanes.routes import ModelRoute
from router.prediction import Ask, Reply, check_version, model_route, predict_one, record
from router.worker import Worker

_JSON: Final = (b"content-type", b"application/json")
_WAIT_SHARE: Final = 0.25
_NO_TIME: Final = b"cache;dur=0.00, queue;dur=0.00, model;dur=0.00"


async def predict(worker: Worker, model: str, request: Request, send: Send) -> None:
    """Answer `POST /predict/{model}`. Raises `RouterError` for what went wrong before there was an ask."""
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

    reply = await predict_one(worker, ask)
    served = reply.served
    if isinstance(served, RouterError):
        status, headers, problem = render_problem(served, request.id)
        await request.respond(send, status, headers, problem)
        worker.metrics.problems.labels(status).inc()
    else:
        status = 200
        headers = [_JSON, (b"server-timing", _timing(served))]
        await request.respond(send, status, headers, _body(model, request.id, reply, served))
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
    envelope = parse_envelope(body, request.user_id, worker.trusts_user_header)
    if envelope.version is not None:
        check_version(route, envelope.version)
    return Ask(
        route,
        envelope.user_id,
        envelope.features,
        row_digest(envelope.features),
        started,
        started + route.plan.timeout_s,
        request.id,
        envelope.attributes,
        envelope.version,
        request.no_cache,
        request.traceparent,
    )


async def _read_large(
    worker: Worker, route: ModelRoute, request: Request, body: bytes, started: float
) -> Ask:
    def read() -> Ask:
        check_elements(body, worker.max_elements)
        return _read(worker, route, request, body, started)

    if not is_costly(body):
        return read()
    # What is waited for here is not left to the version, which would be blamed for it.
    return await worker.turns.run(one_step(read), route.plan.timeout_s * _WAIT_SHARE)


def _body(model: str, request_id: str, reply: Reply, served: Served) -> bytes:
    answer, assignment = served.answer, reply.assignment
    data = {
        "prediction": orjson.Fragment(answer.body),
        "model": model,
        "version": reply.version,
        "model_version": answer.model_version,
        "experiment": None if assignment.variant is None else assignment.experiment,
        "variant": assignment.variant,
        "prediction_id": reply.prediction_id,
        "request_id": request_id,
        "cached": served.tier is not None,
    }
    if reply.fallback_from is not None:
        data["fallback_from"] = reply.fallback_from
    return orjson.dumps(data)


def _timing(served: Served) -> bytes:
    if served.tier == "local":
        return _NO_TIME
    return (
        f"cache;dur={served.cache_ms:.2f}, queue;dur={served.queue_ms:.2f}, model;dur={served.model_ms:.2f}"
    ).encode()
