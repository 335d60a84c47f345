"""The few pieces of HTTP that the app needs on top of ASGI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final, Protocol

from ekiben.process.traces import Span, Traces
from router.errors import BadRequest, BodyTooLarge, TooSlow

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

BODY_TIMEOUT_S: Final = 10.0
EXCHANGE: Final = "ekiben.exchange"
"""The key in the scope under which a server offers an `Exchange`."""
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_RARE: Final = frozenset(
    b"origin content-encoding x-user-id authorization traceparent cache-control x-request-id".split()
)
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")


class Exchange(Protocol):
    """A request and its response without ASGI's messages between, where `router.http.server` is the server.

    Either half may decline, and ASGI's way is taken.
    """

    def arrived_body(self) -> bytes | None:
        """The whole body, if it is here already."""
        ...

    def respond(self, status: int, headers: Sequence[Header], body: bytes) -> bool:
        """Send a whole response; False when it cannot be sent at once."""
        ...


class Request:
    """What the app reads of a request: the headers it knows, taken in one pass, and the body."""

    __slots__ = (
        "_exchange", "_length", "_receive", "_send", "answered", "authorization", "closing", "content_type",
        "cors", "encoding", "host", "id", "id_header", "key", "no_cache", "origin", "scope", "span",
        "traceparent", "user_id",
    )  # fmt: skip

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, new_id: Callable[[], str], closing: bool = False
    ) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        # Taken out, or scope and exchange would hold each other until a collection.
        self._exchange: Exchange | None = scope.pop(EXCHANGE, None)
        self.closing = closing
        self.answered = False
        self.key: str | None = None  # the name of the API key; None where there are no keys
        self.span: Span | None = None
        self.cors: Sequence[Header] = ()
        # Of a field that stands there twice the last counts.
        headers: dict[bytes, bytes] = dict(scope["headers"])
        self._length = headers.get(b"content-length")
        self.host = headers.get(b"host")
        self.content_type = headers.get(b"content-type")
        self.origin: bytes | None = None
        self.encoding: bytes | None = None
        self.user_id: bytes | None = None
        self.authorization: bytes | None = None
        self.traceparent: bytes | None = None
        self.no_cache = False
        given = None
        if not _RARE.isdisjoint(headers):
            given = self._take_rare(headers)
        self.id = given or new_id()
        self.id_header: Header = (b"x-request-id", self.id.encode("ascii"))

    def _take_rare(self, headers: dict[bytes, bytes]) -> str | None:
        """Take what few requests have; the request id that the client gave."""
        field = headers.get
        self.origin = field(b"origin")
        self.encoding = field(b"content-encoding")
        self.user_id = field(b"x-user-id")
        self.authorization = field(b"authorization")
        traceparent = field(b"traceparent")
        if traceparent and _TRACEPARENT.fullmatch(traceparent):
            self.traceparent = traceparent
        self.no_cache = b"no-cache" in field(b"cache-control", b"").lower()
        given = field(b"x-request-id", b"")
        return given.decode("ascii") if _REQUEST_ID.fullmatch(given) else None

    @property
    def query(self) -> str:
        """The query string; bytes that are not UTF-8 are surrogates in it."""
        query: bytes = self.scope.get("query_string", b"")
        return query.decode("utf-8", "surrogateescape")

    def begin_span(self, traces: Traces) -> None:
        """Trace this request: what it causes hangs below its span from now on."""
        parents = [] if self.traceparent is None else [self.traceparent]
        self.span = traces.begin("predict", "server", parents)
        self.traceparent = self.span.traceparent

    async def body(self, limit: int, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
        """The whole body. Raises `BodyTooLarge` past `limit` bytes, `TooSlow` past `timeout_s`, and
        `BadRequest` when the client leaves.
        """
        length = self._length
        # Of a number with thousands of digits Python makes no integer.
        if length is not None and length.isdigit() and (len(length) > 18 or int(length) > limit):
            raise BodyTooLarge(f"a body may have {limit} bytes")
        # Nearly always the body came with the head, and costs neither a turn of the event loop nor a timer.
        arrived = self._exchange.arrived_body() if self._exchange is not None else None
        if arrived is not None:
            if len(arrived) > limit:
                raise BodyTooLarge(f"a body may have {limit} bytes")
            return arrived
        try:
            async with asyncio.timeout(timeout_s):
                return await self._rest_of_body(await self._receive(), limit)
        except TimeoutError:
            raise TooSlow(f"a body has to arrive within {timeout_s:g} s") from None

    async def respond(self, status: int, headers: Sequence[Header], body: bytes) -> None:
        """Answer, with this request's id among the headers."""
        self.answered = True
        exchange = self._exchange
        headers = [*headers, *self.cors, self.id_header, (b"content-length", b"%d" % len(body))]
        if exchange is None or self.closing or not exchange.respond(status, headers, body):
            if self.closing:
                headers = [header for header in headers if header[0] != b"connection"]
                headers.append((b"connection", b"close"))
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            await self._send({"type": "http.response.body", "body": body})

    async def _rest_of_body(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while message["type"] == "http.request":
            part = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise BodyTooLarge(f"a body may have {limit} bytes")
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await self._receive()
        raise BadRequest("the client left before its request was complete")
