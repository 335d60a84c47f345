"""The hot path: from a prediction request to its answer, in the seven steps of the design."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import orjson

from ekiben.experiments.snapshot import Assignment
from ekiben.process.traces import trace_id
from ekiben.state.panic import ALL_MODELS
from router.doors.envelope import Envelope, parse_envelope, row_digest
from router.errors import Overloaded, RouterError, RowRefused, UnknownName, VersionFailed
from router.http.asgi import Request, Send
from router.http.costly import SMALL_BYTES, check_elements, is_costly, one_step
from router.http.problems import render_problem
from router.lanes.lane import Served
from router.lanes.routes import ModelRoute, VersionRoute
from router.lanes.shadow import Original
from router.records.events import is_captured
from router.worker import Worker

_JSON: Final = (b"content-type", b"application/json")
_WAIT_SHARE: Final = 0.25
# Who has lost so much of the time at another version is in a hurry.
_HURRIED_SHARE: Final = 0.25
_NO_TIME: Final = b"cache;dur=0.00, queue;dur=0.00, model;dur=0.00"


async def predict(worker: Worker, model: str, request: Request, send: Send) -> None:
    """Answer `POST /predict/{model}`. Raises `RouterError` for what went wrong before a user was assigned."""
    # 1. parse, if there is such a model
    routes = worker.routes
    route = _route_of(worker, model)
    body = await request.body(worker.max_body_bytes, worker.body_timeout_s)
    clock = worker.clock
    started = clock()
    if routes is not worker.routes:  # the body has taken its time
        route = _route_of(worker, model)
    if len(body) <= SMALL_BYTES:
        envelope = parse_envelope(body, request.user_id, worker.trusts_user_header)
        digest = row_digest(envelope.features)
    else:
        envelope, digest = await _read_large(worker, route, body, request.user_id)
    del body  # a request that waits holds its features, and not what they came in

    # 2. assign
    calm = not worker.panicked or (model not in worker.panicked and ALL_MODELS not in worker.panicked)
    assignment = route.assign(envelope.user_id if calm else None)

    # 3 to 5. the lane looks up, calls, stores
    assigned = route.versions[assignment.version]
    answered = assigned
    try:
        recalled = None if request.no_cache else assigned.lane.recall(digest)
        if recalled is not None:
            served = Served(recalled, "local")
        else:
            assigned.metrics.in_flight += 1
            try:
                answered, served = await _answer(route, assigned, envelope, digest, started, request, clock)
            finally:
                assigned.metrics.in_flight -= 1
    except RouterError as error:
        status, headers, problem = render_problem(error, request.id)
        await request.respond(send, status, headers, problem)
        worker.metrics.problems.labels(status).inc()
        # Features that no version takes are the client's fault: they count against none.
        result = "refused" if isinstance(error, RowRefused) else "error"
        if result == "refused":
            assigned.metrics.refused()
        else:
            assigned.metrics.failed()
        seconds = clock() - started
        _record(worker, route, assignment, envelope, worker.new_id(), None, answered, result, status, seconds)
        logged = worker.access_log.wants(status)
        if logged or request.span is not None:
            _tell(worker, request, model, assignment, answered.version, result, status, seconds, logged)
        return

    # 6. respond
    answer = served.answer
    prediction_id = worker.new_id()
    cached = served.tier is not None
    reply = {
        "prediction": orjson.Fragment(answer.body),
        "model": model,
        "version": answered.version,
        "model_version": answer.model_version,
        "experiment": None if assignment.variant is None else assignment.experiment,
        "variant": assignment.variant,
        "prediction_id": prediction_id,
        "request_id": request.id,
        "cached": cached,
    }
    if answered is not assigned:
        reply["fallback_from"] = assigned.version
    await request.respond(send, 200, (_JSON, (b"server-timing", _timing(served))), orjson.dumps(reply))

    # 7. record, and copy to the shadows
    result = "fallback" if answered is not assigned else "cached" if cached else "served"
    seconds = clock() - started
    assigned.metrics.answered(result, served.tier == "local" and answered is assigned, seconds)
    recorded = "served" if result == "cached" else result
    _record(worker, route, assignment, envelope, prediction_id, served, answered, recorded, 200, seconds)
    logged = worker.access_log.wants(200)
    if logged or request.span is not None:
        _tell(worker, request, model, assignment, answered.version, result, 200, seconds, logged)
    for shadow in route.shadows:
        shadow.copy(
            envelope.features,
            digest,
            Original(
                envelope.user_id,
                prediction_id,
                time.time(),
                model,
                answered.version,
                answer,
                route.revision,
                seconds * 1000,
            ),
        )


def _route_of(worker: Worker, model: str) -> ModelRoute:
    route = worker.routes.get(model)
    if route is None:
        raise UnknownName(f"there is no model {model[:100]!r}")
    return route


async def _read_large(
    worker: Worker, route: ModelRoute, body: bytes, header_user: bytes | None
) -> tuple[Envelope, str]:
    def read() -> tuple[Envelope, str]:
        check_elements(body, worker.max_elements)
        envelope = parse_envelope(body, header_user, worker.trusts_user_header)
        return envelope, row_digest(envelope.features)

    if not is_costly(body):
        return read()
    # What is waited for here is not left to the version, which would be blamed for it.
    return await worker.turns.run(one_step(read), route.plan.timeout_s * _WAIT_SHARE)


def _tell(
    worker: Worker,
    request: Request,
    model: str,
    assignment: Assignment,
    version: str,
    result: str,
    status: int,
    seconds: float,
    logged: bool,
) -> None:
    """What the request's span, and the access log if it is `logged`, say of it."""
    if request.span is not None:
        request.span.set(
            http__response__status_code=status,
            ekiben__request_id=request.id,
            ekiben__model=model,
            ekiben__version=version,
            ekiben__experiment=assignment.experiment,
            ekiben__variant=assignment.variant,
            ekiben__result=result,
        )
    if logged:
        worker.access_log.note(
            request_id=request.id,
            trace_id=trace_id(request.traceparent),
            model=model,
            version=version,
            variant=assignment.variant,
            result=result,
            status=status,
            ms=seconds * 1000,
        )


def _timing(served: Served) -> bytes:
    if served.tier == "local":
        return _NO_TIME
    return (
        f"cache;dur={served.cache_ms:.2f}, queue;dur={served.queue_ms:.2f}, model;dur={served.model_ms:.2f}"
    ).encode()


async def _answer(
    route: ModelRoute,
    assigned: VersionRoute,
    envelope: Envelope,
    digest: str,
    started: float,
    request: Request,
    clock: Callable[[], float],
) -> tuple[VersionRoute, Served]:
    """The assigned version's answer within half the time, or live's within the rest."""
    fresh, trace = request.no_cache, request.traceparent
    timeout_s = route.plan.timeout_s
    live = route.versions[route.plan.live]
    row = envelope.features
    if assigned is live:
        return live, await live.lane.submit(row, digest, started + timeout_s, fresh, trace)
    try:
        return assigned, await assigned.lane.submit(row, digest, started + timeout_s / 2, fresh, trace)
    except (VersionFailed, Overloaded):
        recalled = None if fresh else live.lane.recall(digest)
        if recalled is not None:
            return live, Served(recalled, "local")
        hurried = clock() - started > timeout_s * _HURRIED_SHARE
        return live, await live.lane.submit(row, digest, started + timeout_s, fresh, trace, hurried)


def _record(
    worker: Worker,
    route: ModelRoute,
    assignment: Assignment,
    envelope: Envelope,
    prediction_id: str,
    served: Served | None,
    answered: VersionRoute,
    result: str,
    status: int,
    seconds: float,
) -> None:
    """The exposure of an assigned request; there is none outside experiments."""
    if assignment.variant is None:
        return
    answer = served.answer if served else None
    captured = worker.capture_share and is_captured(prediction_id, worker.capture_share)
    worker.events.add(
        envelope.user_id,
        (
            prediction_id,  # one exposure a prediction: its id is the event's
            time.time(),
            "exposure",
            prediction_id,
            None,
            route.plan.name,
            answered.version,
            answer.model_version if answer else None,
            assignment.experiment,
            assignment.variant,
            assignment.phase,
            route.revision,
            result,
            assignment.assigned_by,
            served is not None and served.tier is not None,
            answer.score if answer else None,
            answer.decision if answer else None,
            seconds * 1000,
            status,
            None,
            None,
            envelope.features.decode() if captured else None,
        ),
    )
