"""What the router adds to the server: one write a response, and draining."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from ekiben.process.http.protocol import BoundedProtocol
from ekiben.process.http.serving import server_options
from router.http.asgi import EXCHANGE, Header


class _Exchange(RequestResponseCycle):
    """`asgi.Exchange` in uvicorn's cycle: its checks and messages cost more than a cached answer."""

    def arrived_body(self) -> bytes | None:
        if self.more_body or self.disconnected or self.waiting_for_100_continue:
            return None
        # Taken out: while the request waits for its answer, only its features are held.
        body, self.body = bytes(self.body), bytearray()
        return body

    def respond(self, status: int, headers: Sequence[Header], body: bytes) -> bool:
        # The plain case only: everything read, nothing to wait for, and the connection stays.
        if self.more_body or self.response_started or self.disconnected or self.flow.write_paused:
            return False
        if not self.keep_alive or self.scope["method"] == "HEAD":
            return False
        parts = [STATUS_LINE[status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", body)
        self.transport.write(b"".join(parts))
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.on_response()
        return True


class RouterProtocol(BoundedProtocol):
    """The protocol of a worker. uvicorn writes a response's head and its body one after the other; here they
    leave together. For a cached answer the second write would cost as much as everything the router does for
    it.
    """

    cycle_type = _Exchange

    def _make_cycle(self) -> RequestResponseCycle:
        cycle = super()._make_cycle()
        # The cycle's task has not begun: what it finds in its scope can still be added to.
        cast("dict[str, Any]", self.scope)[EXCHANGE] = cycle
        return cycle


SERVER_OPTIONS: Final = server_options(RouterProtocol) | {"date_header": False}
"""How uvicorn runs the router, and the empty app that the benchmark sets beside it."""


def drain_on_sigterm(drain: Callable[[], None], drain_s: float) -> None:
    """From now on SIGTERM calls `drain` and stops the server `drain_s` later; a second one stops it at once.

    Called when uvicorn's own handler is in place, in the event loop of the worker.
    """
    stop = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()
    if not drain_s or not callable(stop):
        return

    def begin(sig: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, stop)
        drain()
        loop.call_soon_threadsafe(loop.call_later, drain_s, stop, sig, frame)

    signal.signal(signal.SIGTERM, begin)
