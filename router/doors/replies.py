"""How doors answer: with JSON, with a problem."""

from __future__ import annotations

from typing import Final

import msgspec

from router.errors import RouterError
from router.http.asgi import Header, Request
from router.http.problems import Body, render_problem
from router.worker import Worker

JSON: Final[Header] = (b"content-type", b"application/json")
encode: Final = msgspec.json.Encoder().encode


async def answer_json(request: Request, body: Body, status: int = 200) -> None:
    """Answer with a body."""
    await request.respond(status, (JSON,), encode(body))


async def answer_problem(worker: Worker, request: Request, error: RouterError) -> int:
    """Answer with the problem of an error, and count it. Returns its status."""
    status, headers, body = render_problem(error, request.id)
    worker.metrics.problems.labels(status).inc()
    await request.respond(status, headers, body)
    return status
