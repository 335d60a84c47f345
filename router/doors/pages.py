"""Every answer but predictions: models, assignments, health, metrics, documentation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from ekiben.experiments.lifecycle import Status
from ekiben.state.user import MAX_USER_ID_CHARS
from router.doors.openapi.document import openapi_document
from router.doors.openapi.page import docs_page
from router.errors import BadRequest, NotReady, UnknownName
from router.http.asgi import Header
from router.lanes.routes import ModelRoute
from router.worker import Worker

JSON: Final[Header] = (b"content-type", b"application/json")
_TEXT: Final[Header] = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_HTML: Final[Header] = (b"content-type", b"text/html; charset=utf-8")

_FOR_ANYONE: Final = ("healthy", "breaker", "calls_in_flight")
"""What a reader without a key is shown of an endpoint, unless only this machine reaches the router."""
_MAX_QUERY_BYTES: Final = 8 * 1024

Page = tuple[int, Header, bytes]
Handler = Callable[[Worker, str, str], Awaitable[Page]]
"""A page's handler: the worker, what follows the page's prefix in the path, and the query string."""


def _json(data: Any, status: int = 200) -> Page:
    return status, JSON, orjson.dumps(data)


def _experiment_of(worker: Worker, model: str) -> str | None:
    assert worker.snapshot is not None
    for key, experiment in worker.snapshot.document.experiments.items():
        if experiment.model == model and experiment.status is Status.RUNNING:
            return key
    return None


def _summary(worker: Worker, route: ModelRoute) -> dict[str, Any]:
    return {
        "name": route.plan.name,
        "live": route.plan.live,
        "versions": list(route.versions),
        "experiment": _experiment_of(worker, route.plan.name),
    }


def _require_snapshot(worker: Worker) -> None:
    if worker.snapshot is None:
        raise NotReady("there are no experiments to route by yet")


async def models(worker: Worker, _rest: str, _query: str) -> Page:
    """Every model, in short."""
    _require_snapshot(worker)
    return _json({"models": [_summary(worker, route) for route in worker.routes.values()]})


async def model(worker: Worker, name: str, _query: str) -> Page:
    """One model, with each version's `/model/info` and its endpoints' health."""
    _require_snapshot(worker)
    route = worker.routes.get(name)
    if route is None:
        raise UnknownName(f"there is no model {name[:100]!r}")
    versions = {
        version.version: {
            "info": next((e.info.raw for e in version.endpoints.all if e.info is not None), None),
            "endpoints": [
                each if worker.shows_addresses else {name: each[name] for name in _FOR_ANYONE}
                for each in version.endpoints.health()
            ],
        }
        for version in route.versions.values()
    }
    return _json(_summary(worker, route) | {"versions": versions})


async def assignment(worker: Worker, experiment: str, query: str) -> Page:
    """What an experiment does with a user; nothing is recorded."""
    _require_snapshot(worker)
    assert worker.snapshot is not None
    if len(query) > _MAX_QUERY_BYTES:
        raise BadRequest(f"a query may have {_MAX_QUERY_BYTES} bytes")
    try:
        users = parse_qs(query, keep_blank_values=True, errors="strict").get("user_id", [])
        "".join(users).encode()  # bytes that stand there without a percent sign have to be UTF-8 too
    except ValueError:
        raise BadRequest("the query is not UTF-8") from None
    if len(users) != 1 or not 0 < len(users[0]) <= MAX_USER_ID_CHARS:
        raise BadRequest(f"give one `user_id` of 1 to {MAX_USER_ID_CHARS} characters in the query")
    try:
        assigned = worker.snapshot.explain(experiment, users[0])
    except KeyError:
        raise UnknownName(f"there is no experiment {experiment[:100]!r}") from None
    return _json(
        {
            "experiment": experiment,
            "in_experiment": assigned.in_experiment,
            "variant": assigned.variant,
            "version": assigned.version,
            "bucket": assigned.bucket,
            "reason": assigned.reason,
        }
    )


async def livez(_worker: Worker, _rest: str, _query: str) -> Page:
    """The process runs."""
    return _json({"status": "alive"})


async def readyz(worker: Worker, _rest: str, _query: str) -> Page:
    """It has a snapshot and is not draining. A dead version is an alert, no reason to turn everyone away."""
    if worker.draining:
        raise NotReady("the router is stopping")
    _require_snapshot(worker)
    return _json({"status": "ready"})


async def healthz(worker: Worker, _rest: str, _query: str) -> Page:
    """Both, and the state of each dependency; 503 when not ready."""
    dependencies: dict[str, Any] = {
        name: "up" if answer else "down" for name, answer in (await worker.answering.get()).items()
    }
    for route in worker.routes.values():
        for version in route.versions.values():
            up = any(endpoint["healthy"] for endpoint in version.endpoints.health())
            dependencies[f"{route.plan.name}/{version.version}"] = "up" if up else "down"
    snapshot, file = worker.snapshot, worker.file()
    body = {
        "live": True,
        "ready": worker.ready,
        "draining": worker.draining,
        "panic": sorted(worker.panicked),
        "revision": snapshot.revision if snapshot else None,
        "lineage": snapshot.lineage if snapshot else None,
        "experiments_trouble": worker.trouble(),
        "experiments_file": None if file is None else asdict(file),
        "not_run": dict(worker.not_run),
        "dependencies": dependencies,
        "state": worker.durability.view() if worker.durability is not None else None,
    }
    return _json(body, 200 if worker.ready else 503)


async def metrics(worker: Worker, _rest: str, _query: str) -> Page:
    """Prometheus, summed over the workers."""
    return 200, _TEXT, await worker.exposition.get()


async def openapi(_worker: Worker, _rest: str, _query: str) -> Page:
    """The API's description."""
    return 200, JSON, _openapi_json()


@cache
def _openapi_json() -> bytes:
    return orjson.dumps(openapi_document())


async def docs(_worker: Worker, _rest: str, _query: str) -> Page:
    """The API's description for people."""
    return 200, _HTML, docs_page()


EXACT: Final[dict[str, Handler]] = {
    "/models": models,
    "/livez": livez,
    "/readyz": readyz,
    "/healthz": healthz,
    "/metrics": metrics,
    "/openapi.json": openapi,
    "/docs": docs,
}
PREFIXED: Final[dict[str, Handler]] = {"/models/": model, "/assignment/": assignment}


# What load balancers, Prometheus and newcomers read; none of it tells of users or models' answers.
OPEN_PAGES: Final = frozenset({"/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs"})


def find_page(path: str) -> tuple[Handler, str]:
    """The handler of `path` and what it has to look up. Raises `UnknownName`."""
    handler = EXACT.get(path)
    if handler is not None:
        return handler, ""
    for prefix, handler in PREFIXED.items():
        rest = path.removeprefix(prefix)
        if rest != path and rest and "/" not in rest:
            return handler, rest
    bare = path.rstrip("/")
    if bare != path and (bare in EXACT or bare == "/outcomes" or bare.startswith(("/predict/", *PREFIXED))):
        raise UnknownName("there is no such page; leave out the slash at its end")
    raise UnknownName("there is no such page; /docs lists what there is")
