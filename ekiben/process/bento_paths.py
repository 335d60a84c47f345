"""What Ekiben changes of BentoML's outermost middleware, the one that counts requests.

BentoML 1.4.39 labels its request metrics with the raw path: 300 requests for paths that do not exist made
6,000 series. And what a service mounts is behind all of its middleware, which costs a small request more
than the answer does. No setting reaches either, so the class is replaced in the module that BentoML takes it
from whenever it builds an app.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from timeit import default_timer
from typing import Any, Final

from bentoml._internal.context import server_context
from bentoml._internal.server.http import instruments

OTHER: Final = "other"
"""The label of every path that is not known."""
_REAL: Final = "ekiben.path"

_Scope = MutableMapping[str, Any]
_App = Callable[[_Scope, Any, Any], Awaitable[None]]
_Measured: Final[Any] = instruments.RunnerTrafficMetricsMiddleware

_first: Final[dict[tuple[str, str, str], _App]] = {}


def answer_first(service: str, method: str, path: str, app: _App) -> None:
    """From now on `app` answers these requests of the service, counted as all are, but ahead of the rest of
    BentoML's middleware: its traces, access log, time limit and CORS. It needs `bound_paths` as well.
    """
    _first[service, method, path] = app


def bound_paths(known: Collection[str], prefixes: Collection[str] = ()) -> None:
    """From the next app on that BentoML makes in this process, `known` paths are their own label; one below a
    prefix has the prefix as its label, with `*` behind; all others together have `OTHER`."""

    class BoundedMetrics(_Measured):  # type: ignore[misc]  # BentoML has no types
        def __init__(self, app: _App, **options: Any) -> None:
            super().__init__(_with_real_path(app), **options)
            self._counting: dict[str, _Counting] = {}

        async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                path = scope["path"]
                app = _first.get((server_context.service_name, scope["method"], path))
                if app is not None:
                    if path not in self._counting:
                        self._counting[path] = _Counting(self, path)
                    await self._counting[path].answer(app, scope, receive, send)
                    return
                if path not in known and path != "/metrics":
                    label = next((f"{prefix}*" for prefix in prefixes if path.startswith(prefix)), OTHER)
                    scope = {**scope, "path": label, _REAL: path}
            await super().__call__(scope, receive, send)

    instruments.RunnerTrafficMetricsMiddleware = BoundedMetrics


class _Counting:
    """BentoML's metrics of one path, found once. It finds them anew for each request: that takes longer than
    to count.
    """

    def __init__(self, metrics: Any, path: str) -> None:
        if not metrics._is_setup:
            metrics._setup()
        service = {
            "service_name": server_context.bento_name,
            "service_version": server_context.bento_version,
            "runner_name": server_context.service_name,
        }
        self._metrics = metrics
        self._labels = {"endpoint": path, **service}
        self._last = metrics.metrics_last_request_timestamp.labels(**service)
        self._in_progress = metrics.metrics_request_in_progress.labels(**self._labels)
        self._by_status: dict[int, tuple[Any, Any]] = {}

    async def answer(self, app: _App, scope: _Scope, receive: Any, send: Any) -> None:
        """Let `app` answer, and count it."""
        begun = default_timer()
        status: int | None = None

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self._last.set_to_current_time()
        self._in_progress.inc()
        try:
            await app(scope, receive, noted)
        finally:
            self._in_progress.dec()
            if status is not None:
                if status not in self._by_status:
                    self._by_status[status] = self._of(status)
                total, seconds = self._by_status[status]
                total.inc()
                seconds.observe(default_timer() - begun)

    def _of(self, status: int) -> tuple[Any, Any]:
        labels = {**self._labels, "http_response_code": status}
        counters = self._metrics.metrics_request_total, self._metrics.metrics_request_duration
        return counters[0].labels(**labels), counters[1].labels(**labels)


def _with_real_path(app: _App) -> _App:
    async def restored(scope: _Scope, receive: Any, send: Any) -> None:
        path = scope.get(_REAL)
        await app(scope if path is None else {**scope, "path": path}, receive, send)

    return restored
