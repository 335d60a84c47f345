"""What can happen between an application and a router: a relay that breaks connections, holds and answers."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

PASS: Final = b"pass"
CUT_BEFORE: Final = b"cut before"
"""The connection breaks before the router has seen the request."""
CUT_AFTER: Final = b"cut after"
"""The router has answered, and the connection breaks before the client has the answer."""
HOLD: Final = b"hold"

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Relay:
    """Forwards requests to the router at `port`. Each is treated as the first of `moves` says, which is then
    gone. Other bytes than those above are the answer.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.moves: deque[bytes] = deque()
        self.requests: list[bytes] = []
        self.statuses: list[int] = []
        """Those of the router."""
        self.connections = 0
        self.url = ""
        self.released = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await _message(reader)
                self.requests.append(request)
                answer = await self._answer(request, self.moves.popleft() if self.moves else PASS)
                if answer is None:
                    return writer.transport.abort()
                writer.write(answer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: bytes, move: bytes) -> bytes | None:
        if move not in (PASS, CUT_AFTER, CUT_BEFORE, HOLD):
            return move
        if move == HOLD:
            await self.released.wait()
        if move == CUT_BEFORE:
            return None
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request)
            answer = await _message(reader)
            self.statuses.append(int(answer.split(b" ", 2)[1]))
        finally:
            writer.close()
        return None if move == CUT_AFTER else answer


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


@asynccontextmanager
async def relaying(port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    """A relay before the router at a port."""
    relay = Relay(port)
    listening = await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=tls)
    own = listening.sockets[0].getsockname()[1]
    relay.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{own}"
    try:
        yield relay
    finally:
        relay.released.set()
        listening.close()


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status} Any", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body
