"""How does an application ask a router for predictions and report what happened afterwards?

`Client` is for threads and needs the extra `client` (urllib3). `AsyncClient` is for asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ekiben.client.errors import (
    BadAnswer,
    ClientError,
    FeaturesRefused,
    NoAnswer,
    Problem,
    Refused,
    TimedOut,
    Unauthorized,
    Unavailable,
    Wrong,
)
from ekiben.client.values import Outcome, Prediction

if TYPE_CHECKING:
    from ekiben.client.asynchronous import AsyncClient
    from ekiben.client.threaded import Client

__all__ = [
    "AsyncClient", "BadAnswer", "Client", "ClientError", "FeaturesRefused", "NoAnswer", "Outcome",
    "Prediction", "Problem", "Refused", "TimedOut", "Unauthorized", "Unavailable", "Wrong",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Each client loads an HTTP library, which takes a tenth of a second: only the one that is used.
    if name == "AsyncClient":
        from ekiben.client.asynchronous import AsyncClient

        return AsyncClient
    if name == "Client":
        from ekiben.client.threaded import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
