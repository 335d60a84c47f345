"""RouterProtocol sends what uvicorn's own protocol sends, byte for byte; only in fewer writes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.asgi import Receive, Scope, Send
from router.server import RouterProtocol
from tests.door.running import Connection, wait_for

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
def served(protocol: type[HttpToolsProtocol], serve: Any = app) -> Iterator[int]:
    """A real uvicorn on uvloop in a thread; its port."""
    config = uvicorn.Config(
        serve,
        host="127.0.0.1",
        port=0,
        loop="uvloop",
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join()


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


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: r", *headers, "", ""]).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *headers, method="POST") + body


LAST = get("/close")
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
    "pipelined by the hundred": [b"".join(get(f"/{number}") for number in range(300)) + LAST],
    "pipelined, cut anywhere": [get("/a")[:7], get("/a")[7:] + get("/b")[:3], get("/b")[3:] + LAST],
    "something behind the last": [LAST + get("/never")],
    "100-continue": [get("/echo", "Expect: 100-continue", "Content-Length: 2", method="POST"), b"ab", LAST],
    "no HTTP": [b"hello\r\n\r\n"],
    "no HTTP after an answer": [get("/a"), b"", b"\x16\x03\x01\r\n\r\n"],
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


class Hasty(RouterProtocol):
    """Waits a tenth of a second for a head."""

    head_timeout_s = 0.1


def test_a_connection_that_sends_nothing_is_closed() -> None:
    with served(Hasty) as port, Connection(port) as silent:
        assert silent.is_closed()


def test_a_head_that_does_not_end_is_closed() -> None:
    with served(Hasty) as port, Connection(port) as slow:
        slow.send(b"GET / HTTP/1.1\r\nHost: r\r\n")
        assert slow.is_closed()


def test_a_later_head_that_does_not_end_is_closed_too() -> None:
    with served(Hasty) as port, Connection(port) as slow:
        slow.send(get("/a"))
        assert slow.read().body == b"/a"
        slow.send(b"GET / HTTP/1.1\r\n")
        assert slow.is_closed()


def test_a_slow_head_is_closed_however_busily_it_trickles() -> None:
    with served(Hasty) as port, Connection(port) as slow, contextlib.suppress(ConnectionError):
        slow.send(b"GET / HTTP/1.1\r\n")
        for number in range(10_000):
            slow.send(b"X-%d: 1\r\n" % number)
            threading.Event().wait(0.01)
        raise AssertionError("it went on and on")


def test_line_ends_between_requests_do_not_keep_a_connection_open() -> None:
    with served(Hasty) as port, Connection(port) as idle:
        idle.send(get("/a"))
        assert idle.read().body == b"/a"
        # They stop uvicorn's keep-alive time-out, and no head follows that would start another.
        idle.send(b"\r\n\r\n")
        assert idle.is_closed()


def test_a_request_that_takes_long_to_answer_is_not_a_slow_head() -> None:
    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.5)
        await app(scope, receive, send)

    with served(Hasty, patient) as port, Connection(port) as waiting:
        for path in ("/a", "/b"):
            waiting.send(get(path))
            assert waiting.read().body == path.encode()


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\nX: 1\r\nX"])
def test_a_head_without_an_end_is_not_kept_in_memory(ours: int, head: bytes) -> None:
    with Connection(ours) as endless, contextlib.suppress(ConnectionError):
        endless.send(head)
        for _ in range(1000):
            endless.send(b"x" * 65536)
        raise AssertionError("it takes whatever it is sent")


def test_trailers_without_an_end_are_not_kept_in_memory(ours: int) -> None:
    with Connection(ours) as endless, contextlib.suppress(ConnectionError):
        endless.send(get("/echo", "Transfer-Encoding: chunked", method="POST") + b"1\r\nx\r\n0\r\nX: ")
        for _ in range(2000):
            endless.send(b"x" * 65536)
        raise AssertionError("it takes whatever it is sent")


def test_a_head_of_many_reads_that_ends_is_taken(ours: int) -> None:
    with Connection(ours) as long:
        long.send(b"GET /a HTTP/1.1\r\nHost: r\r\n")
        for number in range(500):
            long.send(b"X-%d: %b\r\n" % (number, b"x" * 100))
        long.send(b"\r\n")
        assert long.read().body == b"/a"


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
ONE = b"GET /smuggled HTTP/1.1\r\nHost: r\r\n\r\n"


@pytest.mark.parametrize("offer", [OFFER, ("Connection: upgrade", "Upgrade: websocket")])
def test_the_body_of_a_request_that_offers_an_upgrade_is_its_body(ours: int, offer: tuple[str, ...]) -> None:
    chunked = get("/echo", *offer, "Transfer-Encoding: chunked", method="POST")
    sized = get("/echo", *offer, f"Content-Length: {len(ONE)}", method="POST")
    for parts in (
        [sized + ONE],
        [sized, ONE],
        [sized + ONE[:5], ONE[5:]],
        [sized[:40], sized[40:] + ONE],
        [chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(ONE), ONE)],
        [chunked, b"%x\r\n%b\r\n" % (len(ONE), ONE), b"0\r\n\r\n"],
    ):
        with Connection(ours) as client:
            for part in parts:
                client.send(part)
            assert client.read().body == ONE
            client.send(get("/next"))
            assert client.read().body == b"/next"


def test_offers_of_an_upgrade_may_be_pipelined(ours: int) -> None:
    with Connection(ours) as client:
        client.send(b"".join(get(f"/{number}", *OFFER) for number in range(50)))
        client.send(post("/echo", b"last", *OFFER) + get("/a"))
        assert [client.read().body for _ in range(52)] == [
            *(b"/%d" % number for number in range(50)),
            b"last",
            b"/a",
        ]


def test_no_body_is_waited_for_where_none_was_promised(ours: int) -> None:
    with Connection(ours) as client:
        client.send(get("/echo", *OFFER, method="POST"))
        assert client.read().body == b""
