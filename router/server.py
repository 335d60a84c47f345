"""What the router adds to uvicorn: one write a response, limits for heads, and draining."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, ClassVar, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from router.asgi import EXCHANGE, Header


class _JoiningTransport:
    """A transport that writes at the end of each turn of the event loop, all at once.

    Then one connection's write follows the other, and the kernel wakes the clients' process once instead
    of with each of them.
    """

    __slots__ = ("_loop", "_parts", "_transport", "get_extra_info", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        parts = self._parts
        if parts:
            self._parts = []
            self._transport.write(b"".join(parts))


class _Exchange:
    """`router.asgi.Exchange` over uvicorn's cycle: its checks and messages cost more than a cached answer."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def arrived_body(self) -> bytes | None:
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        return bytes(cycle.body)

    def respond(self, status: int, headers: Sequence[Header], body: bytes) -> bool:
        cycle = self._cycle
        # The plain case only: everything read, nothing to wait for, and the connection stays.
        if cycle.more_body or cycle.response_started or cycle.disconnected or cycle.flow.write_paused:
            return False
        if not cycle.keep_alive or cycle.scope["method"] == "HEAD":
            return False
        parts = [STATUS_LINE[status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", body)
        cycle.transport.write(b"".join(parts))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True


class RouterProtocol(HttpToolsProtocol):
    """uvicorn's protocol with four differences.

    uvicorn writes a response's head and its body one after the other; here they leave together. For a
    cached answer the second write would cost as much as everything the router does for it.

    uvicorn waits for a request's head without an end; here a connection that does not complete its first
    or any later head within `head_timeout_s` is closed, and so is one that goes on sending what nobody
    reads any more. (Between requests uvicorn's own keep-alive time-out holds.)

    uvicorn takes a head, or the trailers of a body, of any size; here a connection is closed past
    `max_head_bytes` and `max_request_bytes`. What came in one read with the request before is not counted.

    uvicorn's parser takes a request that offers an upgrade (Java's client does, to HTTP/2) to have no body,
    and its body to be the next request. Here the offer is ignored, as RFC 9110 7.8 allows.
    """

    head_timeout_s: ClassVar[float] = 10.0
    max_head_bytes: ClassVar[int] = 64 * 1024
    # Far more than the largest body that can be allowed: chunks of one byte take six.
    max_request_bytes: ClassVar[int] = 32 * 1024 * 1024

    _head_due: float | None = None
    _look: asyncio.TimerHandle | None = None
    _taken = 0
    _body_only = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the joining transport in front of the real one, and start to wait for a head."""
        super().connection_made(cast("asyncio.Transport", _JoiningTransport(transport, self.loop)))
        self._head_due = self.loop.time() + self.head_timeout_s
        self._look = self.loop.call_later(self.head_timeout_s, self._look_for_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more will come."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or of several."""
        self._taken += len(data)
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
        if self._taken > self.max_head_bytes and (
            self._head_due is not None or self._taken > self.max_request_bytes
        ):
            self.transport.close()

    def _parse(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
                return
            except HttpParserUpgrade as stopped:
                # The parser stopped behind the head. Another one goes on, told how the body is framed.
                rest = memoryview(rest)[stopped.args[0] :]
                framing = (b"content-length", b"transfer-encoding")
                lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] in framing]
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
                self._body_only = True
                self.parser.feed_data(b"GET / HTTP/1.1\r\n%b\r\n" % b"".join(lines))

    def _should_upgrade(self) -> bool:
        # Asked of an offered upgrade only: no, while the head is read, so that the request is answered; yes,
        # at what the parser takes for its end, so that its body is waited for.
        return self._head_due is None

    def on_message_begin(self) -> None:
        """The first byte of a head is here."""
        super().on_message_begin()
        self._taken = 0
        if self._head_due is None:
            self._head_due = self.loop.time() + self.head_timeout_s

    def on_headers_complete(self) -> None:
        """The head is complete."""
        if self._body_only:
            self._body_only = False
        else:
            super().on_headers_complete()
            # The cycle's task has not begun: what it finds in its scope can still be added to.
            cast("dict[str, Any]", self.scope)[EXCHANGE] = _Exchange(self.cycle)
        self._head_due = None

    def _look_for_head(self) -> None:
        # One look every 10 s instead of a timer a request: a slow head is closed within 20 s.
        if self.transport.is_closing():
            return
        now = self.loop.time()
        if self._head_due is not None and now >= self._head_due:
            self.transport.close()
            return
        answered = self.cycle is not None and self.cycle.response_complete
        if self._head_due is None and answered and self.timeout_keep_alive_task is None:
            self._head_due = now + self.head_timeout_s
        self._look = self.loop.call_later(self.head_timeout_s, self._look_for_head)


SERVER_OPTIONS: Final[dict[str, Any]] = {
    "loop": "uvloop",
    "http": RouterProtocol,
    "ws": "none",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
    "backlog": 4096,
}
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
