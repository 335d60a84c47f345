"""The router's ASGI app, and the one place that wires a worker together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from router.asgi import Receive, Request, Scope, Send, send_response
from router.cache import RedisCache
from router.errors import InternalError, MethodNotAllowed, NotReady, RouterError
from router.events import IdMaker, RedisEvents
from router.logs import configure_logs
from router.metrics import Metrics
from router.pages import find_page
from router.predict import predict
from router.probes import run_probes
from router.problems import render_problem
from router.routes import RouteBuilder
from router.service import HttpService, open_session
from router.settings import Settings
from router.snapshots import SnapshotSource, listen
from router.worker import Worker
from state.document import DocumentStore, open_state
from state.user import user_salt

log = logging.getLogger(__name__)

_PREDICT: Final = "/predict/"


class RouterApp:
    """The ASGI app around a worker. `open_worker` builds and starts one; its exit stack stops it again."""

    def __init__(self, open_worker: Callable[[contextlib.AsyncExitStack], Awaitable[Worker]]) -> None:
        self._open_worker = open_worker
        self._stack = contextlib.AsyncExitStack()
        self.worker: Worker | None = None

    async def startup(self) -> None:
        """Open the worker. A server that runs no lifespan calls this and `shutdown` itself."""
        self.worker = await self._open_worker(self._stack)

    async def shutdown(self) -> None:
        """Answer what is in flight and close everything."""
        await self._stack.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        worker = self.worker
        assert worker is not None, "startup has not run"
        request = Request(scope, receive, worker.new_id)
        path: str = scope["path"]
        method: str = scope["method"]
        try:
            if path.startswith(_PREDICT) and "/" not in path[len(_PREDICT) :]:
                if method != "POST":
                    raise MethodNotAllowed("POST")
                if worker.snapshot is None:
                    raise NotReady("there are no experiments to route by yet")
                await predict(worker, path[len(_PREDICT) :], request, send)
                return
            handler, rest = find_page(path)
            if method not in ("GET", "HEAD"):
                raise MethodNotAllowed("GET, HEAD")
            status, content_type, body = await handler(
                worker, rest, cast("bytes", scope.get("query_string", b"")).decode("latin-1")
            )
            await send_response(send, status, [content_type, request.id_header], body)
        except RouterError as error:
            await _problem(worker, request, send, error)
        except Exception:
            log.exception("request %s failed in a way that nobody foresaw", request.id)
            if not request.answered:
                await _problem(
                    worker, request, send, InternalError("the router's log has more under this id")
                )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.startup()
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
    await send_response(send, status, [*headers, request.id_header], body)


async def open_worker(settings: Settings, stack: contextlib.AsyncExitStack) -> Worker:
    """Build a worker from its settings and start it; `stack` stops and closes it."""
    salt = user_salt(os.environ, settings.data_dir, settings.host)
    metrics = Metrics()
    new_id = IdMaker()
    state = open_state(settings.state_url)
    stack.push_async_callback(state.aclose)
    cache = RedisCache(settings.cache_url, on_failure=metrics.cache_failed)
    stack.push_async_callback(cache.close)
    session = await stack.enter_async_context(open_session())
    events = RedisEvents(state, salt, metrics, settings.exposures_max_bytes, new_id)
    builder = RouteBuilder(
        lambda url: HttpService(session, url), cache, metrics, events, settings.local_cache_entries
    )
    worker = Worker(builder, events, metrics, new_id, max_body_bytes=settings.max_body_bytes)
    worker.dependencies = {"cache": cache.ping, "state": lambda: _ping(state)}
    source = SnapshotSource(
        DocumentStore(state), settings.experiments_file, settings.data_dir / "snapshot.json", worker.adopt
    )
    await source.start()
    changed = asyncio.Event()
    worker.spawn(listen(state, changed))
    worker.spawn(source.run(changed))
    worker.spawn(run_probes(lambda: worker.routes))
    worker.spawn(events.run())
    stack.push_async_callback(worker.stop, settings.shutdown_grace_s)
    return worker


async def _ping(redis: Redis) -> bool:
    try:
        async with asyncio.timeout(1.0):
            await redis.ping()
    except (RedisError, OSError, TimeoutError):
        return False
    return True


def create_app() -> RouterApp:
    """The app as the environment describes it: what uvicorn's workers and the router's Bento run."""
    settings = Settings.from_environ(os.environ)
    configure_logs(settings.log_format, settings.log_level)
    return RouterApp(lambda stack: open_worker(settings, stack))
