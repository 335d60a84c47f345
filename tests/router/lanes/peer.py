"""A server that writes what it is told to, and the service that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ekiben.experiments.version import Version
from router.http.client import Session, open_session
from router.lanes.service import HttpService
from tests.waiting import settle, until

TAG = b"X-Model-Version: credit_v1:abc\r\n"


def response(body: bytes, status: str = "200 OK", headers: bytes = TAG) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status.encode(), len(body), headers, body)


class Peer:
    """A server that reads requests and answers each with the next thing it was told."""

    service: HttpService

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []  # None closes the connection, the last one is repeated
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split(b"\r\n")
                        if line[:15] == b"content-length:"
                    ),
                    0,
                )
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.open -= 1
            writer.close()


def open_at(session: Session, url: str, **spec: Any) -> HttpService:
    """The server at `url`, of a version that the document describes so."""
    return HttpService(session, Version(endpoints=(url,), **spec), url)


@asynccontextmanager
async def open_peer(**spec: Any) -> AsyncIterator[Peer]:
    """A peer, and in `service` what asks it, of a version that the document describes so."""
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    async with open_session() as session:
        peer.service = open_at(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **spec)
        yield peer
    server.close()
    await until(lambda: not peer.open)
    await settle()
