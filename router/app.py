"""The router's ASGI app, and the one place that wires a worker together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.process.http.names import HostNames, is_loopback
from ekiben.process.http.protocol import BoundedProtocol
from ekiben.process.logs import configure_logs
from ekiben.process.traces import open_traces
from ekiben.state.beats import Beats
from ekiben.state.documents.document import DocumentStore, open_state
from ekiben.state.documents.held import listen
from ekiben.state.durability import Durability
from ekiben.state.panic import watch_panic
from ekiben.state.user import user_hash, user_salt
from router.beat import Who, beat_on
from router.development import file_alone, file_applier
from router.doors.native import predict
from router.doors.outcomes import take_outcomes
from router.doors.pages import OPEN_PAGES, find_page
from router.errors import (
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotReady,
    RouterError,
    TooManyRequests,
    Unauthorized,
)
from router.gauges import Gauges, watch
from router.http.asgi import Receive, Request, Scope, Send
from router.http.client import open_session
from router.http.costly import Turns
from router.http.keys import OUTCOMES, PREDICT, Door, given_key
from router.http.problems import render_problem
from router.http.server import drain_on_sigterm
from router.http.web import JSON, WebRules, answer_preflight, is_preflight, require_json
from router.http.workers import end_with_parent
from router.lanes.cache import RedisCache
from router.lanes.lag import LoopLag
from router.lanes.probes import run_probes
from router.lanes.resolve import resolve_host
from router.lanes.routes import RouteBuilder, samples_of
from router.lanes.service import HttpService
from router.records.access_log import AccessLog
from router.records.events import IdMaker, RedisEvents
from router.records.metrics import Metrics
from router.records.outcome_writer import OutcomeWriter
from router.records.peers import Peers
from router.records.samples import run_samples
from router.settings import LAST_STEPS_S, Settings
from router.snapshots import SnapshotSource
from router.worker import Worker

log = logging.getLogger(__name__)

_PREDICT: Final = "/predict/"
_OUTCOMES: Final = "/outcomes"
# Whose hashes are remembered: they come back, and a hash takes 2 µs.
_USERS: Final = 20_000
# Hardly anything of a request is part of a cycle: by default they are looked for every 700 new objects.
_COLLECT: Final = (10_000, 20, 50)
# Each turn of the event loop waits so long for the interpreter while a thread computes, as for /metrics.
# Python's own 5 ms would make 40 of a request that takes eight turns.
_SWITCH_S: Final = 0.0005


class RouterApp:
    """The ASGI app around a worker. `open_worker` builds and starts one; its exit stack stops it again.

    `started` is called once a server's lifespan has started the app.
    """

    def __init__(
        self,
        open_worker: Callable[[contextlib.AsyncExitStack], Awaitable[Worker]],
        started: Callable[[RouterApp], None] = lambda _app: None,
    ) -> None:
        self._open_worker = open_worker
        self._started = started
        self._stack = contextlib.AsyncExitStack()
        self.worker: Worker | None = None

    async def startup(self) -> None:
        """Open the worker. A server that runs no lifespan calls this and `shutdown` itself."""
        self.worker = await self._open_worker(self._stack)

    def drain(self) -> None:
        """Turn `/readyz` to 503; requests are answered as before, until the server stops."""
        if self.worker is not None:
            self.worker.draining = True

    async def shutdown(self) -> None:
        """Answer what is in flight and close everything."""
        await self._stack.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
            return
        if kind != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        worker = self.worker
        assert worker is not None, "startup has not run"
        # A worker that is about to stop asks its clients to come back on another connection.
        request = Request(scope, receive, worker.new_id, closing=worker.draining)
        try:
            await self._answer(worker, request, scope, send)
        except RouterError as error:
            await _problem(worker, request, send, error)
        except Exception:
            log.exception("request %s failed in a way that nobody foresaw", request.id)
            if not request.answered:
                await _problem(
                    worker, request, send, InternalError("the router's log has more under this id")
                )
        if request.span is not None:
            request.span.end()

    async def _answer(self, worker: Worker, request: Request, scope: Scope, send: Send) -> None:
        path: str = scope["path"]
        if request.host not in worker.web.known or request.origin is not None:
            worker.web.admit(request, path)
            if is_preflight(request, scope):
                return await answer_preflight(request, send)
        if not path.startswith(_PREDICT) or "/" in path[len(_PREDICT) :]:
            if path == _OUTCOMES:
                return await self._outcomes(worker, request, scope, send)
            return await self._page(worker, request, scope, send)
        if worker.traces is not None:
            request.begin_span(worker.traces)
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        if not worker.door.is_open:
            self._admit(worker, request, PREDICT)
        if request.content_type != JSON or request.encoding is not None:
            require_json(request)
        if worker.snapshot is None:
            raise NotReady("there are no experiments to route by yet")
        return await predict(worker, path[len(_PREDICT) :], request, send)

    async def _outcomes(self, worker: Worker, request: Request, scope: Scope, send: Send) -> None:
        if scope["method"] != "POST":
            raise MethodNotAllowed("POST")
        sender = None if worker.door.is_open else self._admit(worker, request, OUTCOMES)
        require_json(request)
        worker.web.note_proxy(scope)
        await take_outcomes(worker, request, send, sender)

    async def _page(self, worker: Worker, request: Request, scope: Scope, send: Send) -> None:
        path: str = scope["path"]
        handler, rest = find_page(path)
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("GET, HEAD")
        if not worker.door.is_open and path not in OPEN_PAGES:
            self._admit(worker, request, PREDICT)
        query = cast("bytes", scope.get("query_string", b"")).decode("utf-8", "surrogateescape")
        status, content_type, body = await handler(worker, rest, query)
        await request.respond(send, status, (content_type,), body)

    def _admit(self, worker: Worker, request: Request, scope: str) -> str:
        """The name of the request's key. Raises what `Door.admit` raises."""
        try:
            name = worker.door.admit(given_key(request.authorization), scope, worker.clock())
        except (Forbidden, TooManyRequests, Unauthorized) as error:
            worker.metrics.key_refusals.labels(type(error).__name__).inc()
            raise
        worker.metrics.key_requests.labels(name).inc()
        return name

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.startup()
            self._started(self)
        except Exception as error:
            log.exception("the worker cannot start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.shutdown()
        await send({"type": "lifespan.shutdown.complete"})


async def _problem(worker: Worker, request: Request, send: Send, error: RouterError) -> None:
    status, headers, body = render_problem(error, request.id)
    worker.metrics.problems.labels(status).inc()
    await request.respond(send, status, headers, body)


async def open_worker(
    settings: Settings, stack: contextlib.AsyncExitStack, loopback: bool | None = None
) -> Worker:
    """Build a worker from its settings and start it; `stack` stops and closes it.

    `loopback` tells whether only this machine reaches it, where another server than ours listens.
    """
    salt = user_salt(os.environ, settings.data_dir, settings.host)
    metrics = Metrics()
    gauges = Gauges(metrics.registry)
    new_id = IdMaker()
    state = open_state(settings.state_url)
    stack.push_async_callback(state.aclose)
    cache = RedisCache(settings.cache_url, on_failure=metrics.cache_failed)
    stack.push_async_callback(cache.close)
    session = await stack.enter_async_context(open_session())
    traces = open_traces("ekiben-router", os.environ)
    if traces is not None:
        stack.push_async_callback(asyncio.to_thread, traces.close)
    events = RedisEvents(state, metrics, settings.exposures_max_bytes, new_id)
    BoundedProtocol.bodies.limit = settings.bodies_max_bytes
    durability = Durability(state, settings.state_durable)
    await durability.look()
    turns = Turns()
    outcomes = OutcomeWriter(
        state,
        salt,
        metrics,
        new_id,
        turns=turns,
        replicas=settings.state_replicas,
        refusal=lambda: durability.refusal,
    )
    lag = LoopLag()
    who = Who.here(new_id())
    peers = Peers(who.worker)
    builder = RouteBuilder(
        lambda url, host=None: HttpService(session, url, host, traces, lag),
        cache,
        metrics,
        events,
        settings.local_cache_entries,
        lag=lag,
        peers=peers,
    )
    loopback = is_loopback(settings.host) if loopback is None else loopback
    # A web page has no key: off loopback, where keys are asked for, any name will do unless some are listed.
    any_name = settings.api_keys and not loopback and not settings.allowed_hosts
    names = None if any_name else HostNames(settings.host, settings.allowed_hosts, loopback=loopback)
    worker = Worker(
        builder,
        events,
        metrics,
        new_id,
        max_body_bytes=settings.max_body_bytes,
        max_elements=settings.max_elements,
        turns=turns,
        outcomes=outcomes,
        hash_user=lru_cache(_USERS)(partial(user_hash, salt)),
        door=Door.from_setting(settings.api_keys, settings.key_rate) if settings.api_keys else Door.open(),
        traces=traces,
        access_log=AccessLog(settings.access_log_percent / 100, time.monotonic),
        web=WebRules(names, settings.allowed_origins),
        trusts_user_header=settings.user_id_from == "header",
        # Where endpoints are, and how reaching them fails, is a map of the network behind the router.
        shows_addresses=loopback or bool(settings.api_keys),
    )
    worker.durability = durability
    worker.dependencies = {"cache": cache.ping, "state": lambda: _ping(state)}
    documents = DocumentStore(state)
    applier = file_applier(documents, state, settings)
    alone = file_alone(settings)
    source = SnapshotSource(
        documents, settings.data_dir / "snapshot.json", worker.adopt, applier=applier, alone=alone
    )
    worker.trouble = lambda: source.trouble
    worker.file = lambda: source.file
    await source.start()
    changed = asyncio.Event()
    worker.keep("listening for changes", lambda: listen(state, changed))
    worker.keep("following the experiments", lambda: source.run(changed))
    worker.keep(
        "probing",
        lambda: run_probes(lambda: worker.routes, lambda routes: builder.resolve(routes, resolve_host)),
    )
    worker.keep("watching the panic file", lambda: watch_panic(settings.panic_file, worker.panic))
    worker.keep("sending events", events.run)
    worker.keep("writing outcomes", outcomes.run)
    worker.keep(
        "checking durability", lambda: durability.run(lambda: gauges.show_durable(durability.durable))
    )
    worker.keep("counting", metrics.run)
    worker.keep("measuring the loop", lambda: lag.run(metrics.loop_lag.observe_all))
    worker.keep(
        "gauges",
        lambda: watch(
            gauges,
            lambda: worker.routes,
            worker.dependencies,
            lambda: source.confirmed_at,
            lambda: source.file is not None and source.file.state == "refused",
            events,
            outcomes,
            time.monotonic,
        ),
    )
    worker.keep("sampling", lambda: run_samples(lambda: samples_of(worker.routes)))
    worker.keep("beating", lambda: beat_on(Beats(state), worker, who, events, peers))
    stack.push_async_callback(worker.stop, LAST_STEPS_S)  # the server has waited for what is in flight
    return worker


async def _ping(redis: Redis) -> bool:
    try:
        async with asyncio.timeout(1.0):
            await redis.ping()
    except (RedisError, OSError, TimeoutError):
        return False
    return True


def create_app() -> RouterApp:
    """The app as the environment describes it: what uvicorn's workers run."""
    settings = Settings.from_environ(os.environ)
    configure_logs(settings.log_format, settings.log_level)

    def started(app: RouterApp) -> None:
        drain_on_sigterm(app.drain, settings.drain_s)
        end_with_parent()
        # What is loaded by now stays: a full collection need not look at it while requests wait.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECT)
        sys.setswitchinterval(_SWITCH_S)

    return RouterApp(lambda stack: open_worker(settings, stack), started)
