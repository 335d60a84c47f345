"""An HTTP/1.1 client of one server: kept connections, one request at a time on each.

Theory of operation:

1. A request leaves in one write. Its response is read by llhttp (`httptools`), which is strict about heads
   and about where a body ends, and each response has a parser of its own.
2. A connection is kept for the next request if its response was read to its end, leaves nothing behind and
   lets it be kept. Otherwise it is closed, after a cancellation as well: no answer can reach another request
   than its own.
3. A server may close a kept connection just when a request is sent on it. Where not a byte has come back, the
   request is sent once more on a new connection.
4. Everything is bounded, the body by the caller's limit, and what is around it (heads, sizes of chunks,
   trailers) by 64 KiB and a sixteenth of the body. Nothing is unpacked, no redirect is followed, no proxy is
   used and no cookie is kept.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Final, cast
from urllib.parse import urlsplit

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

# uvicorn, under BentoML, closes an idle connection after 5 s: ours is gone before.
KEEP_S: Final = 4.0
_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_REFUSAL_BYTES: Final = 64 * 1024


class NoResponse(Exception):
    """No response came, or one that is not HTTP; the message says why."""


class _Gone(NoResponse):
    """The server closed the connection without a byte of a response."""


class TooLong(Exception):
    """The body of a response with status 200 is longer than the limit."""


class Response(msgspec.Struct, frozen=True):
    """A whole response. The names of `headers` are in lower case; of several of one name the first counts.

    A long body is cut where the status is not 200: nothing but its beginning is of use.
    """

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


Session = set["_Connection"]
"""The open connections of one worker to all servers."""


@asynccontextmanager
async def open_session() -> AsyncIterator[Session]:
    """A session whose connections end with the block."""
    session: Session = set()
    try:
        yield session
    finally:
        for connection in tuple(session):
            connection.close()
        await asyncio.sleep(0)  # in which they are closed


class _Connection(asyncio.Protocol):
    """One connection. The methods from `on_message_begin` on are called by the parser, and never raise."""

    _transport: asyncio.Transport
    _parser: HttpResponseParser
    _status = 0
    """Of the response whose head has been read."""

    def __init__(self, session: Session, kept: dict[_Connection, None]) -> None:
        self._session = session
        self._kept = kept
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[Response] | None = None
        self._look: asyncio.TimerHandle | None = None
        self._ended_at = 0.0
        self._keeps = False
        """The last response has ended and nothing has come after it: the connection may be used again."""

    def send(self, request: bytes, limit: int) -> asyncio.Future[Response]:
        """Send a request; the future of its response, whose body has at most `limit` bytes."""
        # Not when it was made: uvloop tells nothing of the end of a connection whose maker was cancelled.
        self._session.add(self)
        self._waiter = self._loop.create_future()
        self._parser = HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._status = 0
        self._around_left = _MAX_HEAD_BYTES
        self._left = limit
        self._keeps = False
        self._transport.write(request)
        return self._waiter

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent on it."""
        # A server that answers before it has read the request may not read the rest of it.
        return (
            self._keeps
            and not self._transport.is_closing()
            and not self._transport.get_write_buffer_size()
            and self._loop.time() - self._ended_at < KEEP_S
        )

    def close(self) -> None:
        """Close it at once."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of a class of its own

    def data_received(self, data: bytes) -> None:
        """Read what has come; close what sends without being asked."""
        if self._waiter is None or self._waiter.done():
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._keeps = False  # the response may have ended before what is no HTTP
            self._fail(NoResponse(f"no HTTP: {type(error).__name__} {error}"))
        self._around_left -= len(data)
        if self._around_left < 0:
            self._fail(NoResponse("too much around the body"))

    def eof_received(self) -> None:
        """The server sends no more, which is the end of a body that has no other."""
        if self._status and not self._headers.keys() & {b"content-length", b"transfer-encoding"}:
            self.on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """A response that is awaited does not come."""
        self._session.discard(self)
        self._kept.pop(self, None)
        if self._look is not None:
            self._look.cancel()
        if self._waiter is not None:
            untouched = self._around_left == _MAX_HEAD_BYTES
            why = f"the server closed the connection{f' ({exc})' if exc else ''}"
            self._fail(_Gone(why) if untouched else NoResponse(why))
        vars(self).pop("_parser", None)  # which refers back

    def on_message_begin(self) -> None:
        """A response begins. After a whole one nobody has asked for it."""
        self._keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; those behind a body do not count."""
        if not self._status:
            self._headers.setdefault(name.lower(), value.strip())

    def on_headers_complete(self) -> None:
        """The head is read, unless it is an interim one."""
        status = self._parser.get_status_code()
        if status < 100:
            self._fail(NoResponse(f"no HTTP: status {status}"))
        elif status < 200:
            self._headers.clear()
        else:
            self._status = status
            if status != 200:
                self._left = min(self._left, _MAX_REFUSAL_BYTES)
            if int(self._headers.get(b"content-length", 0)) > self._left:
                self._cut()

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._left -= len(part)
        self._around_left += len(part) + len(part) // 16
        if self._left < 0:
            self._cut()
        else:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """The response is read, unless it was an interim one."""
        if self._status and self._waiter is not None and not self._waiter.done():
            self._keeps = self._parser.should_keep_alive()
            self._ended_at = self._loop.time()
            if self._look is None:
                self._look = self._loop.call_later(KEEP_S, self._look_at_it)
            self._answer()

    def _answer(self) -> None:
        # Neither a kept connection nor one that failed holds a response (of 64 MiB) or an error, whose
        # traceback refers to the request and to the connection.
        waiter, self._waiter, parts, self._parts = self._waiter, None, self._parts, []
        if waiter is not None and not waiter.done():
            waiter.set_result(Response(self._status, self._headers, b"".join(parts)))

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter, self._parts = self._waiter, None, []
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.close()

    def _cut(self) -> None:
        if self._status == 200:
            self._fail(TooLong())
        else:
            self._answer()
            self.close()

    def _look_at_it(self) -> None:
        # One look every few seconds, in place of a timer for each request.
        left = self._ended_at + KEEP_S - self._loop.time()
        self._look = None
        if self._keeps and left <= 0:
            self.close()
        else:
            self._look = self._loop.call_later(left if left > 0 else KEEP_S / 4, self._look_at_it)


class Client:
    """Requests to the server at `url`, which has no path.

    `host` is the server's name, and its port, where the URL has only one of its addresses. `ca` is a file of
    certificates to trust in place of the system's.
    """

    def __init__(self, session: Session, url: str, host: str | None = None, ca: str | None = None) -> None:
        self._session = session
        parts = urlsplit(url)
        self._is_tls = parts.scheme == "https"
        self._ca = ca
        self._address = parts.hostname or "", parts.port or (443 if self._is_tls else 80)
        host = host or parts.netloc
        self._host = host.encode()
        self._tls_name = urlsplit(f"//{host}").hostname if self._is_tls else None
        self._kept: dict[_Connection, None] = {}
        """The latest last."""

    async def ask(
        self, target: bytes, limit: int, json: bytes | None = None, headers: bytes = b""
    ) -> Response:
        """GET `target`, or POST `json` to it, with further `headers` (whole lines). No time limit.

        Raises `NoResponse`, `OSError`, and `TooLong` for a body of more than `limit` bytes.
        """
        head = b"%b %b HTTP/1.1\r\nhost: %b\r\n%b" % (
            b"GET" if json is None else b"POST", target, self._host, headers
        )  # fmt: skip
        if json is None:
            request = head + b"\r\n"
        else:
            request = b"%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
                head, len(json), json
            )  # fmt: skip
        while self._kept:
            connection, _ = self._kept.popitem()
            if not connection.is_reusable:
                connection.close()
                continue
            try:
                return await self._exchange(connection, request, limit)
            except _Gone:
                break
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(
            lambda: _Connection(self._session, self._kept),
            *self._address,
            ssl=_tls(self._ca) if self._is_tls else None,
            server_hostname=self._tls_name,
        )
        if transport.is_closing():
            raise NoResponse("the server closed the connection at once")
        return await self._exchange(connection, request, limit)

    async def _exchange(self, connection: _Connection, request: bytes, limit: int) -> Response:
        try:
            return await connection.send(request, limit)
        finally:
            if connection.is_reusable:
                self._kept[connection] = None
            else:
                connection.close()


def _tls(ca: str | None) -> ssl.SSLContext:
    """Raises OSError where the file `ca` is not there or holds no certificates."""
    try:
        return _context(ca, None if ca is None else os.stat(ca).st_mtime_ns)
    except OSError as error:
        which = "of the system" if ca is None else f"in {ca}"
        raise OSError(f"the certificates {which} cannot be read: {error.strerror or error}") from None


@lru_cache(maxsize=100)
def _context(ca: str | None, _changed: int | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)
