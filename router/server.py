"""What the router adds to uvicorn: one write a response, a time limit for slow heads, and draining."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEAD_TIMEOUT_S: Final = 10.0


class _JoiningTransport:
    """A transport that joins all writes of one turn of the event loop."""

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


class RouterProtocol(HttpToolsProtocol):
    """uvicorn's protocol with two differences.

    uvicorn writes a response's head and its body one after the other; here they leave together. For a
    cached answer the second write would cost as much as everything the router does for it.

    uvicorn waits for a request's head without an end; here a connection that does not complete its first
    or any later head within 10 s is closed. (Between requests uvicorn's own keep-alive time-out holds.)
    """

    _head_due: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the joining transport in front of the real one, and start to wait for a head."""
        super().connection_made(cast("asyncio.Transport", _JoiningTransport(transport, self.loop)))
        self._head_due = self.loop.time() + _HEAD_TIMEOUT_S
        self.loop.call_later(_HEAD_TIMEOUT_S, self._look_for_head)

    def on_message_begin(self) -> None:
        """The first byte of a head is here."""
        super().on_message_begin()
        if self._head_due is None:
            self._head_due = self.loop.time() + _HEAD_TIMEOUT_S

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._head_due = None
        super().on_headers_complete()

    def _look_for_head(self) -> None:
        # One look every 10 s instead of a timer a request: a slow head is closed within 20 s.
        if self.transport.is_closing():
            return
        if self._head_due is not None and self.loop.time() >= self._head_due:
            self.transport.close()
        else:
            self.loop.call_later(_HEAD_TIMEOUT_S, self._look_for_head)


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
