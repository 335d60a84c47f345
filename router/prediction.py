"""One prediction, whatever door it came by: assign, ask the lane, fall back to live, reply; then record it.

It knows no HTTP: a door turns bytes into asks and replies into bytes. The rules for all doors:

1. Each row is an ask of its own: it is assigned, answered and recorded by itself, also in a call of many.
2. An ask without a user gets live. It is in no experiment, and no exposure is recorded.
3. A pinned ask names its version. That version alone answers: there is no assignment, no exposure, no
   fallback and no copy to a shadow, and the panic switch does not move it.
4. What went wrong with a row is part of its reply. A door that answers row by row records each of its
   replies, whatever became of them. A door that fails the whole call for one bad row records none.
5. A door calls `record` once its answer is out, so that recording never delays it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from ekiben.experiments.snapshot import Assignment, Attributes
from ekiben.process.traces import trace_id
from ekiben.state.panic import ALL_MODELS
from ekiben.state.streams.events import Exposure, Prediction
from router.errors import Overloaded, RouterError, RowRefused, UnknownName, VersionFailed
from router.lanes.answer import Answer, Served
from router.lanes.comparison import Original
from router.lanes.routes import ModelRoute, VersionRoute
from router.records.samples import written
from router.worker import Worker

# An ask that has lost this share of its time at another version is in a hurry.
_HURRIED_SHARE: Final = 0.25

Result = Literal["served", "cached", "fallback", "refused", "error"]
"""What became of an ask. Features that no version takes are the client's fault: they count against none."""


class Ask(msgspec.Struct, frozen=True, gc=False):
    """One row to predict for: the model as it was routed when the ask arrived, who asks, and what about.

    `row` is the canonical JSON of the features and `digest` their digest. `started` and `deadline` are
    seconds of the worker's clock. `fresh` skips the caches. `version` pins the ask (rule 3). `model_route`
    and `check_version` check names before an ask is made.
    """

    route: ModelRoute
    user_id: str | None
    row: bytes
    digest: str
    started: float
    deadline: float
    request_id: str
    attributes: Attributes | None = None
    version: str | None = None
    fresh: bool = False
    traceparent: bytes | None = None


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What became of an ask: the answer with its timing, or the error.

    `version` gave the answer, or was assigned where there is none. `fallback_from` is the assigned version
    where live answered in its place.
    """

    served: Served | RouterError
    result: Result
    version: str
    assignment: Assignment
    prediction_id: str
    fallback_from: str | None = None


def model_route(worker: Worker, model: str) -> ModelRoute:
    """How a model is routed now. Raises `UnknownName`, and `NotReady` before there are models at all."""
    route = worker.routes.get(model)
    if route is None:
        worker.routed_by()
        raise UnknownName(f"there is no model {model[:100]!r}")
    return route


def check_version(route: ModelRoute, version: str) -> None:
    """Raise `UnknownName`, with the versions that there are, unless the model has this one."""
    if version not in route.versions:
        raise UnknownName(
            f"model {route.plan.name!r} has no version {version[:100]!r}: it has {', '.join(route.versions)}"
        )


def predict_one(worker: Worker, ask: Ask) -> Reply | Coroutine[Any, Any, Reply]:
    """The reply to an ask, where this worker's own cache knows the answer, or else what to await for it."""
    assignment = _assign(worker, ask)
    assigned = ask.route.versions[assignment.version]
    recalled = None if ask.fresh else assigned.lane.recall(ask.digest)
    if recalled is not None:
        return Reply(Served(recalled, "local"), "cached", assigned.version, assignment, worker.new_id())
    return _wait(worker, ask, assignment, assigned)


async def predict_many(worker: Worker, asks: Sequence[Ask]) -> list[Reply]:
    """The replies to asks, in their order. Those of one version travel in the same batches."""
    begun = [predict_one(worker, ask) for ask in asks]
    came = iter(await asyncio.gather(*(each for each in begun if not isinstance(each, Reply))))
    return [each if isinstance(each, Reply) else next(came) for each in begun]


def record(worker: Worker, ask: Ask, reply: Reply, status: int) -> None:
    """Count and record what was answered with `status`, as in HTTP, and ask other versions beside."""
    seconds = worker.clock() - ask.started
    result = reply.result
    served = None if isinstance(reply.served, RouterError) else reply.served
    metrics = ask.route.versions[reply.assignment.version].metrics
    if served is not None:
        metrics.answered(result, result == "cached" and served.tier == "local", seconds)
    else:
        metrics.count(result)
    if reply.assignment.variant is not None or ask.route.samples is not None:
        _record_events(worker, ask, reply, status, seconds)
    if worker.access_log.wants(status):
        worker.access_log.note(
            request_id=ask.request_id,
            trace_id=trace_id(ask.traceparent),
            model=ask.route.plan.name,
            version=reply.version,
            variant=reply.assignment.variant,
            result=result,
            status=status,
            ms=round(seconds * 1000, 3),
        )
    if served is not None and (ask.route.shadows or ask.route.beside) and ask.version is None:
        _copy(worker, ask, reply, served.answer, seconds)


def _assign(worker: Worker, ask: Ask) -> Assignment:
    route = ask.route
    if ask.version is not None:
        return Assignment(None, None, ask.version, None, "pinned", None, 0)
    panicked, user_id = worker.panicked, ask.user_id
    if panicked and (route.plan.name in panicked or ALL_MODELS in panicked):
        user_id = None
    # What is remembered of users is remembered by their ids alone.
    return route.assign(user_id) if ask.attributes is None else route.plan.assign(user_id, ask.attributes)


async def _wait(worker: Worker, ask: Ask, assignment: Assignment, assigned: VersionRoute) -> Reply:
    assigned.metrics.in_flight += 1
    try:
        answered, served = await _ask_lanes(worker, ask, assigned)
    except RouterError as error:
        result: Result = "refused" if isinstance(error, RowRefused) else "error"
        return Reply(error, result, assigned.version, assignment, worker.new_id())
    finally:
        assigned.metrics.in_flight -= 1
    if answered is not assigned:
        return Reply(served, "fallback", answered.version, assignment, worker.new_id(), assigned.version)
    result = "served" if served.tier is None else "cached"
    return Reply(served, result, answered.version, assignment, worker.new_id())


async def _ask_lanes(worker: Worker, ask: Ask, assigned: VersionRoute) -> tuple[VersionRoute, Served]:
    """The assigned version's answer within half the time, or live's within the rest."""
    row, digest, fresh, trace = ask.row, ask.digest, ask.fresh, ask.traceparent
    live = ask.route.versions[ask.route.plan.live]
    if assigned is live or ask.version is not None:
        return assigned, await assigned.lane.submit(row, digest, ask.deadline, fresh, trace)
    time_s = ask.deadline - ask.started
    try:
        halfway = ask.started + time_s / 2
        return assigned, await assigned.lane.submit(row, digest, halfway, fresh, trace)
    except (VersionFailed, Overloaded):
        recalled = None if fresh else live.lane.recall(digest)
        if recalled is not None:
            return live, Served(recalled, "local")
        hurried = worker.clock() - ask.started > time_s * _HURRIED_SHARE
        return live, await live.lane.submit(row, digest, ask.deadline, fresh, trace, hurried)


def _copy(worker: Worker, ask: Ask, reply: Reply, answer: Answer, seconds: float) -> None:
    """Ask the versions that an experiment compares the answer with, and by chance the other shadows."""
    route, assignment = ask.route, reply.assignment
    original = Original(
        worker.hashed(ask.user_id),
        reply.prediction_id,
        time.time(),
        reply.version,
        answer,
        route.revision,
        seconds * 1000,
    )
    compared: tuple[str, ...] = ()
    if route.beside and assignment.assigned_by == "hash":
        compared = route.plan.beside.get((assignment.experiment, assignment.variant), ())
        theirs = replace(original, experiment=assignment.experiment, phase=assignment.phase)
        for version in compared:
            route.beside[version].ask(ask.row, ask.digest, theirs)
    for shadow in route.shadows:
        if shadow.version not in compared:
            shadow.copy(ask.row, ask.digest, original)


def _record_events(worker: Worker, ask: Ask, reply: Reply, status: int, seconds: float) -> None:
    """The exposure of an ask that takes part in an experiment, and the prediction where it is captured."""
    assignment, samples, prediction_id = reply.assignment, ask.route.samples, reply.prediction_id
    at, user_hash = time.time(), worker.hashed(ask.user_id)
    # The last 15 digits of an id are drawn by chance.
    key = prediction_id[-15:] if user_hash is None else user_hash
    captured = samples is not None and samples.wants(at, key)
    exposed = assignment.variant is not None
    if not captured and not exposed:
        return
    served = None if isinstance(reply.served, RouterError) else reply.served
    answer, capture = served.answer if served else None, ask.route.plan.capture
    fields = (
        prediction_id,  # one exposure a prediction: its id is the event's
        at,
        prediction_id,
        user_hash,
        ask.route.plan.name,
        reply.version,
        answer.model_version if answer else None,
        assignment.experiment if exposed else None,
        assignment.variant,
        assignment.phase if exposed else None,
        ask.route.revision,
        assignment.assigned_by,
        "served" if reply.result == "cached" else reply.result,
        status,
        served is not None and served.tier is not None,
        answer.score if answer else None,
        answer.scores if answer else None,
        answer.decision if answer else None,
        seconds * 1000,
        written(ask.attributes, capture.without if capture else ()) if ask.attributes else None,
    )
    if exposed:
        worker.events.add(Exposure(*fields))
    if captured and samples is not None:
        samples.take(key, Prediction(*fields), ask.row)
