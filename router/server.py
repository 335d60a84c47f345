"""uvicorn's HTTP protocol, with what a response consists of sent in one system call instead of two."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


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


class JoiningProtocol(HttpToolsProtocol):
    """uvicorn writes a response's head and its body one after the other; on the wire they go together.

    For a cached answer the second write would cost as much as everything the router does for it.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the joining transport in front of the real one."""
        super().connection_made(cast("asyncio.Transport", _JoiningTransport(transport, self.loop)))
