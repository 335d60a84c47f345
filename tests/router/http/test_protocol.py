"""RouterProtocol sends what uvicorn's own protocol sends, byte for byte; only in fewer writes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.http.server import RouterProtocol
from tests.router.http.serving import LARGE, LAST, get, post, served
from tests.router.running import Connection


@pytest.fixture(scope="module")
def ours() -> Iterator[int]:
    with served(RouterProtocol) as port:
        yield port


@pytest.fixture(scope="module")
def uvicorns() -> Iterator[int]:
    with served(HttpToolsProtocol) as port:
        yield port


def everything(port: int, parts: Sequence[bytes]) -> bytes:
    """What comes back until the server closes. The last request of `parts` has to make it do so; an empty
    part waits for an answer.
    """
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for part in parts:
            if part:
                connection.sendall(part)
            else:
                received += connection.recv(65536)
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65536):
                received += data
    return bytes(received)


CASES: dict[str, list[bytes]] = {
    "one request": [LAST],
    "asked to close": [get("/x", "Connection: close")],
    "keep-alive": [get("/a"), get("/b"), LAST],
    "HTTP/1.0": [get("/x", version="1.0")],
    "HEAD": [get("/large", method="HEAD"), get("/x", method="HEAD"), LAST],
    "HEAD of an answer in parts": [get("/parts", method="HEAD"), LAST],
    "a body": [post("/echo", b"x" * 100_000), LAST],
    "a body in pieces": [get("/echo", "Content-Length: 6", method="POST"), b"abc", b"def", LAST],
    "a chunked body": [
        get("/echo", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n",
        b"2;x=y\r\nde\r\n0\r\n\r\n",
        LAST,
    ],
    "an answer without a body": [get("/empty"), get("/nothing"), LAST],
    "an answer in parts": [get("/parts"), LAST],
    "a large answer": [get("/large"), LAST],
    "large answers one behind the other": [get("/large") * 3 + LAST],
    "pipelined": [get("/a") + post("/echo", b"b") + get("/later") + get("/parts") + get("/d") + LAST],
    "pipelined by the dozen": [b"".join(get(f"/{number}") for number in range(60)) + LAST],
    "pipelined, cut anywhere": [get("/a")[:7], get("/a")[7:] + get("/b")[:3], get("/b")[3:] + LAST],
    "something behind the last": [LAST + get("/never")],
    "100-continue": [get("/echo", "Expect: 100-continue", "Content-Length: 2", method="POST"), b"ab", LAST],
    "an app that raises": [get("/raises")],
    "an app that promises more": [get("/short")],
    "an upgrade nobody knows": [get("/x", "Connection: upgrade, close", "Upgrade: h2c")],
}


@pytest.mark.parametrize("parts", CASES.values(), ids=CASES.keys())
def test_it_sends_what_uvicorn_sends(parts: list[bytes], ours: int, uvicorns: int) -> None:
    sent = everything(ours, parts)
    assert sent == everything(uvicorns, parts)
    assert sent.startswith(b"HTTP/1.1 ")


def test_a_client_that_reads_slowly_gets_all_of_a_large_answer(ours: int) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", ours))
        connection.settimeout(30)
        connection.sendall(get("/large") + LAST)
        received = bytearray()
        while data := connection.recv(300_000):
            received += data
    assert received.count(LARGE) == 1
    assert received.endswith(b"/close")


def test_a_client_that_leaves_harms_nobody(ours: int) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", ours)) as connection:
            connection.sendall(get("/large") * 3)
    with Connection(ours) as kept:
        kept.send(get("/still"))
        assert kept.read().body == b"/still"


def test_head_and_body_of_an_answer_leave_in_one_write() -> None:
    writes: list[int] = []

    class Counting(RouterProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(_Watched(transport, writes))  # type: ignore[arg-type]

    with served(Counting) as port:
        everything(port, [get("/a"), LAST])
    assert len(writes) == 2


class _Watched:
    """A transport that notes how much is written at once."""

    def __init__(self, transport: asyncio.Transport, writes: list[int]) -> None:
        self._transport = transport
        self._writes = writes

    def write(self, data: bytes) -> None:
        self._writes.append(len(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
