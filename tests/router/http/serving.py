"""A real uvicorn with a protocol of choice over a small app, and requests written by hand."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.http.asgi import Receive, Scope, Send
from tests.ports import free_port
from tests.waiting import wait_for

LARGE = bytes(range(256)) * 20_000  # 5 MB: more than any socket's buffer


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers by path; `/echo` with what it was sent."""
    path = scope["path"]
    if path == "/raises":
        raise RuntimeError("no answer")
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    if path == "/later":
        await asyncio.sleep(0.02)
    answers: dict[str, list[bytes]] = {
        "/echo": [body],
        "/empty": [b""],
        "/large": [LARGE],
        "/parts": [b"one", b"", b"two" * 1000, b"three"],
        "/later": [b"late"],
        "/nothing": [],
        "/short": [b"too little"],
    }
    parts = answers.get(path, [path.encode()])
    headers = [(b"content-type", b"text/plain"), (b"x-n", b"1")]
    if path == "/short":
        headers.append((b"content-length", b"99"))
    elif path != "/parts":
        headers.append((b"content-length", b"%d" % sum(map(len, parts))))
    if path == "/close":
        headers.append((b"connection", b"close"))
    await send(
        {"type": "http.response.start", "status": 204 if path == "/nothing" else 200, "headers": headers}
    )
    for number, part in enumerate(parts, start=1):
        await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})
    if not parts:
        await send({"type": "http.response.body"})


@contextlib.contextmanager
def served(protocol: type[HttpToolsProtocol], serve: Any = app, **options: Any) -> Iterator[int]:
    """A real uvicorn on uvloop in a thread; its port."""
    port = free_port()
    config = uvicorn.Config(
        serve,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        **options,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: r", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


LAST = get("/close")
