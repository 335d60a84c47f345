"""Reading a request's body, JSON only, at most 8 MiB and 10,000 rows, strictly. Answering as bare ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import orjson
from starlette.types import Receive, Scope, Send

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_ROWS: Final = 10_000
MAX_DEPTH: Final = 64
BODY_TIMEOUT_S: Final = 4.0  # less than BentoML's time limit for `/predict`, or two would end at once

Headers = Sequence[tuple[bytes, bytes]]

_TOO_LARGE: Final = f"a body has at most {MAX_BODY_BYTES} bytes"
_TITLES: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
}


class BodyRefused(Exception):
    """The whole request is refused with this status; `errors` are the fields at fault, if fields are."""

    def __init__(self, status: int, detail: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors

    async def answer(self, send: Send, headers: Headers = ()) -> None:
        """Answer with `application/problem+json` (RFC 9457) and these headers."""
        problem: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors is not None:
            problem["errors"] = self.errors
        problem_json = (b"content-type", b"application/problem+json")
        await respond(send, self.status, [problem_json, *headers], orjson.dumps(problem))


class ClientGone(Exception):
    """The client left before its request was complete; there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The body. Raises `BodyRefused`: 415 when it is not declared as JSON, 413 as soon as it passes 8 MiB,
    408 when it is not complete within 4 s.

    Raises `ClientGone` when the client leaves before the end.
    """
    _check_headers(scope)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read(receive)
    except TimeoutError:
        raise BodyRefused(408, f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from None


async def respond(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """Answer as bare ASGI. Starlette's Response costs more than the model."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    left = MAX_BODY_BYTES
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        left -= len(chunk)
        if left < 0:
            raise BodyRefused(413, _TOO_LARGE)
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunk if len(chunks) == 1 else b"".join(chunks)


def _check_headers(scope: Scope) -> None:
    content_type = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length" and int(value) > MAX_BODY_BYTES:
            raise BodyRefused(413, _TOO_LARGE)
    if content_type.split(b";", 1)[0].strip().lower() != b"application/json":
        raise BodyRefused(415, "the content type must be application/json")


def parse(body: bytes) -> Any:
    """The JSON in `body`. Raises `BodyRefused` 400 for what JSON (RFC 8259) or a double cannot hold."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyRefused(400, f"not strict JSON: {error}") from None


def check_count(rows: Sequence[Any]) -> None:
    """Raise `BodyRefused` 413 for more than 10,000 rows: 8 MiB have room for millions of empty ones."""
    if len(rows) > MAX_ROWS:
        raise BodyRefused(413, f"a body has at most {MAX_ROWS} rows")


def is_deeper_than(value: Any, depth: int) -> bool:
    """Whether arrays and objects lie in each other more than `depth` deep in parsed JSON."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if type(outer) in (list, dict)
            for inner in (outer if type(outer) is list else outer.values())
        ]
        if not level:
            return False
    return any(type(value) in (list, dict) for value in level)
