"""Every page that only looks: models, assignments, health, metrics."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final, Literal
from urllib.parse import parse_qs

import msgspec

from ekiben.experiments.lifecycle import Status
from ekiben.experiments.snapshot import Snapshot
from ekiben.state.user import MAX_USER_ID_CHARS
from router.doors import bodies
from router.doors.replies import answer_json
from router.errors import BadRequest, NotReady, UnknownName
from router.http.asgi import Header, Request
from router.lanes.routes import VersionRoute
from router.prediction import model_route
from router.worker import Worker

_TEXT: Final[Header] = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_MAX_QUERY_BYTES: Final = 8 * 1024
# What only readers with a key are shown of an endpoint, unless only this machine reaches the router.
_FOR_INSIDERS: Final = frozenset({"url", "last_error"})


async def models(worker: Worker, request: Request) -> None:
    """Every model, in short."""
    snapshot = worker.routed_by()
    summaries = [
        bodies.ModelSummary(name, route.plan.live, list(route.versions), _running(snapshot, name))
        for name, route in worker.routes.items()
    ]
    await answer_json(request, bodies.Models(summaries))


async def model(worker: Worker, request: Request, name: str) -> None:
    """One model: what each version is, and how its endpoints are."""
    snapshot = worker.routed_by()
    route = model_route(worker, name)
    versions = {each.version: _version(each, worker.shows_addresses) for each in route.versions.values()}
    await answer_json(request, bodies.Model(name, route.plan.live, _running(snapshot, name), versions))


async def assignment(worker: Worker, request: Request, experiment: str) -> None:
    """What an experiment does with a user; nothing is recorded."""
    snapshot = worker.routed_by()
    user_id = _user_of_query(request)
    try:
        assigned = snapshot.explain(experiment, user_id)
    except KeyError:
        raise UnknownName(f"there is no experiment {experiment[:100]!r}") from None
    shown = {name: getattr(assigned, name) for name in bodies.Assignment.__struct_fields__}
    await answer_json(request, bodies.Assignment(**shown | {"experiment": experiment}))


async def livez(_worker: Worker, request: Request) -> None:
    """The process runs."""
    await answer_json(request, bodies.Status("alive"))


async def readyz(worker: Worker, request: Request) -> None:
    """It has experiments to route by and is not stopping.

    A version that is down does not make the router unready: it would turn everyone away.
    """
    if worker.draining:
        raise NotReady("the router is stopping")
    worker.routed_by()
    await answer_json(request, bodies.Status("ready"))


async def healthz(worker: Worker, request: Request) -> None:
    """Both, and the state of each dependency."""
    dependencies = {name: _up(answers) for name, answers in (await worker.answering.get()).items()}
    for route in worker.routes.values():
        for version in route.versions.values():
            up = any(endpoint["healthy"] for endpoint in version.endpoints.health())
            dependencies[f"{route.plan.name}/{version.version}"] = _up(up)
    snapshot, file, durability = worker.snapshot, worker.file(), worker.durability
    body = bodies.Health(
        live=True,
        ready=worker.ready,
        draining=worker.draining,
        panic=sorted(worker.panicked),
        revision=snapshot.revision if snapshot else None,
        lineage=snapshot.lineage if snapshot else None,
        experiments_trouble=worker.trouble(),
        experiments_file=None if file is None else bodies.ExperimentsFile(**asdict(file)),
        not_run=dict(worker.not_run),
        dependencies=dependencies,
        state=None if durability is None else msgspec.convert(durability.view(), bodies.State),
    )
    await answer_json(request, body, 200 if worker.ready else 503)


async def metrics(worker: Worker, request: Request) -> None:
    """Prometheus metrics, summed over the workers.

    docs/metrics.md describes each.
    """
    await request.respond(200, (_TEXT,), await worker.exposition.get())


def _running(snapshot: Snapshot, model: str) -> str | None:
    experiments = snapshot.document.experiments.items()
    return next((key for key, e in experiments if e.model == model and e.status is Status.RUNNING), None)


def _version(route: VersionRoute, shows_addresses: bool) -> bodies.Version:
    info: dict[str, Any] | None = next((e.info.raw for e in route.endpoints.all if e.info is not None), None)
    hidden = frozenset() if shows_addresses else _FOR_INSIDERS
    shown = [
        {name: value for name, value in endpoint.items() if name not in hidden}
        for endpoint in route.endpoints.health()
    ]
    return bodies.Version(info, msgspec.convert(shown, list[bodies.Endpoint]))


def _up(answers: bool) -> Literal["up", "down"]:
    return "up" if answers else "down"


def _user_of_query(request: Request) -> str:
    query = request.query
    if len(query) > _MAX_QUERY_BYTES:
        raise BadRequest(f"a query may have {_MAX_QUERY_BYTES} bytes")
    try:
        users = parse_qs(query, keep_blank_values=True, errors="strict").get("user_id", [])
        "".join(users).encode()  # bytes that stand there without a percent sign have to be UTF-8 too
    except ValueError:
        raise BadRequest("the query is not UTF-8") from None
    if len(users) != 1 or not 0 < len(users[0]) <= MAX_USER_ID_CHARS:
        raise BadRequest(f"give one `user_id` of 1 to {MAX_USER_ID_CHARS} characters in the query")
    return users[0]
