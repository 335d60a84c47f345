"""What Ekiben changes of BentoML's outermost middleware, the one that counts requests.

BentoML 1.4.39 labels its request metrics with the raw path: 300 requests for paths that do not exist made
6,000 series. And what a service mounts is behind all of its middleware, which costs a small request more
than the answer does. No setting reaches either, so the class is replaced in the module that BentoML takes it
from whenever it builds an app.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from timeit import default_timer
from typing import Any, Final

from bentoml._internal.context import server_context
from bentoml._internal.server.http import instruments
from bentoml._internal.server.http.traffic import MaxConcurrencyMiddleware

OTHER: Final = "other"
"""The label of every path that is not known."""
_BULK: Final = "/bulk"
_REAL: Final = "ekiben.path"

_Scope = MutableMapping[str, Any]
_App = Callable[[_Scope, Any, Any], Awaitable[None]]
_Measured: Final[Any] = instruments.RunnerTrafficMetricsMiddleware

_bulk_apps: Final[dict[str, _App]] = {}


def answer_bulk_first(service: str, app: _App) -> None:
    """From the next app on, `app` answers `POST /bulk` of the service. It is counted as all requests are and
    obeys `traffic.max_concurrency`, but is ahead of BentoML's traces, access log, time limit and CORS. It
    needs `bound_paths` as well.
    """
    _bulk_apps[service] = app


def bound_paths(known: Collection[str], prefixes: Collection[str] = ()) -> None:
    """From the next app on that BentoML makes in this process, `known` paths are their own label; one below a
    prefix has the prefix as its label, with `*` behind; all others together have `OTHER`."""

    class BoundedMetrics(_Measured):  # type: ignore[misc]  # BentoML has no types
        def __init__(self, app: _App, **options: Any) -> None:
            super().__init__(_with_real_path(app), **options)
            bulk = _bulk_apps.get(server_context.service_name)
            self._bulk = None if bulk is None else _Counting(self, _limited(bulk, app))

        async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                path = scope["path"]
                if self._bulk is not None and path == _BULK and scope["method"] == "POST":
                    await self._bulk.answer(scope, receive, send)
                    return
                if path not in known and path != "/metrics":
                    label = next((f"{prefix}*" for prefix in prefixes if path.startswith(prefix)), OTHER)
                    scope = {**scope, "path": label, _REAL: path}
            await super().__call__(scope, receive, send)

    instruments.RunnerTrafficMetricsMiddleware = BoundedMetrics


def _limited(app: _App, behind: Any) -> Any:
    """`app` under the `traffic.max_concurrency` of the app `behind`, if it has one: one number for both."""
    while behind is not None and not isinstance(behind, MaxConcurrencyMiddleware):
        behind = getattr(behind, "app", None)
    limit = copy.copy(behind)
    if limit is not None:
        limit.app = app
    return limit or app


class _Counting:
    """BentoML's metrics of `/bulk`, found once. BentoML finds them again for each request, which takes longer
    than to count.
    """

    def __init__(self, metrics: Any, app: _App) -> None:
        if not metrics._is_setup:
            metrics._setup()
        service = {
            "service_name": server_context.bento_name,
            "service_version": server_context.bento_version,
            "runner_name": server_context.service_name,
        }
        self._app = app
        self._metrics = metrics
        self._labels = {"endpoint": _BULK, **service}
        self._last = metrics.metrics_last_request_timestamp.labels(**service)
        self._in_progress = metrics.metrics_request_in_progress.labels(**self._labels)
        self._by_status: dict[int, tuple[Any, Any]] = {}

    async def answer(self, scope: _Scope, receive: Any, send: Any) -> None:
        """Let the app answer, and count it. An exception is the server's to answer, with 500."""
        begun = default_timer()
        status: int | None = None

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self._last.set_to_current_time()
        self._in_progress.inc()
        try:
            await self._app(scope, receive, noted)
        except Exception:
            status = 500
            raise
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
