"""The few pieces of HTTP that the app needs on top of ASGI."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from typing import Any, Final

from router.errors import BadRequest, BodyTooLarge, TooSlow

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

BODY_TIMEOUT_S: Final = 10.0
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.-]{1,128}")


class Request:
    """What the app reads of a request: the headers it knows, taken in one pass, and the body."""

    __slots__ = (
        "_length",
        "_receive",
        "answered",
        "authorization",
        "id",
        "id_header",
        "no_cache",
        "user_id",
    )

    def __init__(self, scope: Scope, receive: Receive, new_id: Callable[[], str]) -> None:
        self._receive = receive
        self._length: bytes | None = None
        self.answered = False
        self.user_id: bytes | None = None
        self.authorization: bytes | None = None
        self.no_cache = False
        given = None
        for name, value in scope["headers"]:
            if name == b"content-length":
                self._length = value
            elif name == b"x-user-id":
                self.user_id = value
            elif name == b"x-request-id":
                given = value
            elif name == b"authorization":
                self.authorization = value
            elif name == b"cache-control":
                self.no_cache = b"no-cache" in value.lower()
        if given is not None and _REQUEST_ID.fullmatch(given):
            self.id = given.decode("ascii")
        else:
            self.id = new_id()
        self.id_header: Header = (b"x-request-id", self.id.encode("ascii"))

    async def body(self, limit: int, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
        """The whole body. Raises `BodyTooLarge` past `limit` bytes, `TooSlow` past `timeout_s`, and
        `BadRequest` when the client leaves.
        """
        length = self._length
        # Of a number with thousands of digits Python makes no integer.
        if length is not None and length.isdigit() and (len(length) > 18 or int(length) > limit):
            raise BodyTooLarge(f"a body may have {limit} bytes")
        # Nearly always the body came with the head: only where it did not is a timer worth its 4 µs.
        message: MutableMapping[str, Any] | None = None
        waits_for = None
        steps = self._receive().__await__()
        try:
            waits_for = next(steps)
        except StopIteration as arrived:
            message = arrived.value
            assert message is not None
            if message["type"] == "http.request" and not message.get("more_body", False):
                body: bytes = message.get("body", b"")
                if len(body) > limit:
                    raise BodyTooLarge(f"a body may have {limit} bytes") from None
                return body
        try:
            async with asyncio.timeout(timeout_s):
                if message is None:
                    message = await _Rest(waits_for, steps)
                return await self._rest_of_body(message, limit)
        except TimeoutError:
            raise TooSlow(f"a body has to arrive within {timeout_s:g} s") from None

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


class _Rest:
    """Awaits what is left of an awaitable whose first step was taken, and gave `waits_for`."""

    __slots__ = ("_steps", "_waits_for")

    def __init__(self, waits_for: Any, steps: Generator[Any, None, Any]) -> None:
        self._waits_for = waits_for
        self._steps = steps

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            yield self._waits_for
        except BaseException as error:  # cancelled, too late: for it to know
            try:
                yield self._steps.throw(error)
            except StopIteration as done:
                return done.value
        return (yield from self._steps)


async def send_response(send: Send, status: int, headers: Iterable[Header], body: bytes) -> None:
    """A whole response in one go."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})
