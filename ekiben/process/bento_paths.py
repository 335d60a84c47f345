"""Bounds the label `endpoint` of BentoML's request metrics.

BentoML 1.4.39 labels them with the raw path: 300 requests for paths that do not exist made 6,000 series. Its
metrics middleware is the outermost one and no setting reaches it, so its class is replaced in the module that
BentoML takes it from whenever it builds an app.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Final

from bentoml._internal.server.http import instruments

OTHER: Final = "other"
"""The label of every path that is not known."""
_REAL: Final = "ekiben.path"

_Scope = MutableMapping[str, Any]
_App = Callable[[_Scope, Any, Any], Awaitable[None]]
_Measured: Final[Any] = instruments.RunnerTrafficMetricsMiddleware


def bound_paths(known: Collection[str], prefixes: Collection[str] = ()) -> None:
    """From the next app on that BentoML makes in this process, `known` paths are their own label; one below a
    prefix has the prefix as its label, with `*` behind; all others together have `OTHER`."""

    class BoundedMetrics(_Measured):  # type: ignore[misc]  # BentoML has no types
        def __init__(self, app: _App, **options: Any) -> None:
            super().__init__(_with_real_path(app), **options)

        async def __call__(self, scope: _Scope, receive: Any, send: Any) -> None:
            if scope["type"] == "http" and (path := scope["path"]) not in known and path != "/metrics":
                label = next((f"{prefix}*" for prefix in prefixes if path.startswith(prefix)), OTHER)
                scope = {**scope, "path": label, _REAL: path}
            await super().__call__(scope, receive, send)

    instruments.RunnerTrafficMetricsMiddleware = BoundedMetrics


def _with_real_path(app: _App) -> _App:
    async def restored(scope: _Scope, receive: Any, send: Any) -> None:
        path = scope.get(_REAL)
        await app(scope if path is None else {**scope, "path": path}, receive, send)

    return restored
