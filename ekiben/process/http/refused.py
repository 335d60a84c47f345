"""What is refused while a request is read, before there is anybody to answer it."""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE


class Refused(Exception):
    """A request, or a connection, that is refused by the server itself."""

    def __init__(self, status: int, kind: str, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title

    def render(self) -> bytes:
        """The whole response, a problem (RFC 9457) after which the connection closes."""
        request_id = secrets.token_hex(12)
        problem = {
            "type": f"urn:ekiben:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": str(self),
            "request_id": request_id,
        }
        body = json.dumps(problem).encode()
        lines = [
            "content-type: application/problem+json",
            f"x-request-id: {request_id}",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        if self.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            lines.append("retry-after: 1")
        return STATUS_LINE[self.status] + "\r\n".join([*lines, "", ""]).encode() + body


def unreadable(detail: str) -> Refused:
    """The request cannot be read as HTTP/1.1."""
    return Refused(400, "bad-request", "The request cannot be read", detail)
