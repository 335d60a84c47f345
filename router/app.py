"""The router's ASGI app: requests to the operations that answer them, and errors to problems."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Final

from ekiben.process.logs import configure_logs
from router.doors.dispatch import find
from router.doors.operation import Handler
from router.doors.replies import answer_problem
from router.doors.table import PROBES
from router.errors import Forbidden, InternalError, RouterError, TooManyRequests, Unauthorized
from router.http.asgi import Receive, Request, Scope, Send
from router.http.keys import given_key
from router.http.server import drain_on_sigterm
from router.http.web import JSON, answer_preflight, is_preflight, require_json
from router.http.workers import end_with_parent
from router.settings import Settings
from router.wiring import open_worker
from router.worker import Worker

log = logging.getLogger(__name__)

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
        request = Request(scope, receive, send, worker.new_id, closing=worker.draining)
        try:
            handler, names = self._handler(worker, request)
            await handler(worker, request, *names)
        except RouterError as error:
            await answer_problem(worker, request, error)
        except Exception:
            log.exception("request %s failed unexpectedly", request.id)
            if not request.answered:
                unexpected = InternalError("the router's log has more under this id")
                await answer_problem(worker, request, unexpected)
        if request.span is not None:
            request.span.end()

    def _handler(self, worker: Worker, request: Request) -> tuple[Handler, tuple[str, ...]]:
        """What answers a request that may be answered, with the names in its path. Raises `RouterError`."""
        path: str = request.scope["path"]
        # A page that is refused learns nothing, not even what there is.
        if request.host not in worker.web.known or request.origin is not None:
            worker.web.admit(request, any_host=path in PROBES)
            if is_preflight(request):
                return answer_preflight, ()
        operation, names = find(request.scope["method"], path)
        if operation.traced and worker.traces is not None:
            request.begin_span(worker.traces)
        if operation.right is not None and not worker.keys.is_open:
            self._admit(worker, request, operation.right)
        if operation.asked is not None and (request.content_type != JSON or request.encoding is not None):
            require_json(request)
        return operation.handler, names

    def _admit(self, worker: Worker, request: Request, right: str) -> None:
        """Let the request's key in. Raises what `Door.admit` raises."""
        try:
            name = worker.keys.admit(given_key(request.authorization), right, worker.clock())
        except (Forbidden, TooManyRequests, Unauthorized) as error:
            worker.metrics.key_refusals.labels(type(error).__name__).inc()
            raise
        worker.metrics.key_requests.labels(name).inc()
        request.key = name

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
