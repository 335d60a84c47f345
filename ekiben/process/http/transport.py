"""A transport that writes once a turn of the event loop, and holds little that nobody reads."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final, Self
from weakref import WeakKeyDictionary

# Bytes that the kernel holds unsent for a connection. Left alone it holds megabytes for a client that never
# reads; what is in flight to one that does read is not counted.
_UNSENT_BYTES: Final = 128 * 1024
_AT_ONCE: Final = struct.pack("ii", 1, 0)


class OfLoop:
    """What there is one of for each event loop."""

    _made: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Self]]

    def __init_subclass__(cls) -> None:
        cls._made = WeakKeyDictionary()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Self:
        """That of `loop`."""
        return cls._made.setdefault(loop, cls())


class JoinedWrites(OfLoop):
    """The transports of one event loop that have something to write at the end of its turn."""

    def __init__(self) -> None:
        self._waiting: list[JoiningTransport] = []

    def join(self, transport: JoiningTransport) -> None:
        """Have `transport` flushed at the end of this turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(transport)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            try:
                transport.flush()
            except Exception as error:  # one connection's failure is its own
                failed = {"message": "a connection cannot be written to", "exception": error}
                asyncio.get_running_loop().call_exception_handler(failed)
                transport.close()


class LeftReads(OfLoop):
    """What is left of the large reads of one event loop: one of them is gone on with in each turn."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()

    def add(self, go_on: Callable[[], object]) -> None:
        """Call `go_on` when everything before it has had its turn."""
        self._waiting.append(go_on)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        go_on = self._waiting[0]
        try:
            go_on()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next)


class JoiningTransport:
    """A transport that writes at the end of each turn of the event loop, all at once.

    Then one connection's write follows the other, and the kernel wakes the clients' process once instead
    of with each of them.
    """

    __slots__ = (
        "_ended",
        "_held",
        "_parts",
        "_paused",
        "_transport",
        "_writes",
        "get_extra_info",
        "is_closing",
    )

    def __init__(self, transport: asyncio.Transport, writes: JoinedWrites) -> None:
        self._transport = transport
        self._writes = writes
        self._parts: list[bytes] = []
        self._paused = self._held = self._ended = False
        self.get_extra_info = transport.get_extra_info
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Write at the end of this turn; after `write_eof` nothing."""
        if self._ended:
            return
        if not self._parts:
            self._writes.join(self)
        self._parts.append(data)

    def write_eof(self) -> None:
        self.flush()
        self._ended = True
        self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close, and have the kernel forget at once what it has not sent."""
        self._parts = []
        connection = self.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._transport.abort()

    def pause_reading(self) -> None:
        self._paused = True
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if not self._held:
            self._transport.resume_reading()

    def hold_reading(self) -> None:
        """Read nothing until `release_reading`, no matter who resumes reading meanwhile."""
        self._held = True
        self._transport.pause_reading()

    def release_reading(self) -> None:
        """Read again, unless reading is paused."""
        if self._held:
            self._held = False
            if not self._paused and not self.is_closing():
                self._transport.resume_reading()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def flush(self) -> None:
        """Write what waits, now."""
        parts = self._parts
        if parts:
            self._parts = []
            if not self.is_closing():
                self._transport.write(b"".join(parts))


def bound_unread(transport: asyncio.BaseTransport, timeout_s: float) -> None:
    """Have the kernel hold little that is not sent, and give the connection up when the other side has taken
    none of it for `timeout_s`, even after the process has closed it.
    """
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # Linux has both; elsewhere the protocol's own deadline holds, as long as the process has the connection.
    for option, value in (("TCP_NOTSENT_LOWAT", _UNSENT_BYTES), ("TCP_USER_TIMEOUT", int(timeout_s * 1000))):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
