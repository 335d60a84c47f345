"""What a connection may do at the router's door: how slow, how large, and what offers are ignored."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ekiben.process.http.transport import JoinedWrites, JoiningTransport, LeftReads
from router.http.asgi import Receive, Scope, Send
from router.http.server import RouterProtocol
from tests.router.http.serving import app, get, post, served
from tests.router.running import Connection


@pytest.fixture(scope="module")
def ours() -> Iterator[int]:
    with served(RouterProtocol) as port:
        yield port


class Hasty(RouterProtocol):
    """Waits a second for a head."""

    head_timeout_s = 1.0


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


@pytest.mark.parametrize("more", [b"", b"\r\n\r\n"])
def test_an_idle_connection_is_closed_and_line_ends_do_not_keep_it_open(more: bytes) -> None:
    with served(Hasty, timeout_keep_alive=1) as port, Connection(port) as idle:
        idle.send(get("/a"))
        assert idle.read().body == b"/a"
        if more:
            idle.send(more)
        assert idle.is_closed()


def test_a_connection_that_is_used_stays_open() -> None:
    with served(Hasty, timeout_keep_alive=1) as port, Connection(port) as used:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            used.send(get("/a"))
            assert used.read().body == b"/a"


def test_a_request_that_takes_long_to_answer_is_not_a_slow_head() -> None:
    async def patient(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(1.5)
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
        for number in range(100):
            long.send(b"X-%d: %b\r\n" % (number, b"x" * 500))
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


async def test_a_connection_that_cannot_be_written_to_any_more_keeps_no_answer_from_others() -> None:
    loop = asyncio.get_running_loop()
    told: list[str] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context["message"]))
    with contextlib.ExitStack() as stack:
        pairs = [tuple(map(stack.enter_context, socket.socketpair())) for _ in range(3)]
        raw = [(await loop.create_connection(asyncio.Protocol, sock=ours))[0] for ours, _ in pairs]
        raw[1].write_eof()  # not by way of ours, which would know of it
        for each in [JoiningTransport(transport, JoinedWrites.of(loop)) for transport in raw]:
            each.write(b"an answer")
        await asyncio.sleep(0)
        for place in (0, 2):
            assert pairs[place][1].recv(100) == b"an answer"
        assert [transport.is_closing() for transport in raw] == [False, True, False]
        assert told == ["a connection cannot be written to"]
        for transport in raw:
            transport.abort()
        await asyncio.sleep(0)


def test_what_was_refused_is_not_told_to_go_on(ours: int) -> None:
    with Connection(ours) as client:
        head = get("/echo", "Expect: 100-continue", "Transfer-Encoding: chunked", method="POST")
        client.send(head + b"zz\r\n")
        assert client.read().status == 400


def test_who_is_refused_over_and_over_takes_little_time_from_others(ours: int) -> None:
    begun = time.monotonic()
    for _ in range(5):
        with Connection(ours) as client:
            client.send(b"no HTTP at all\r\n\r\n")
            assert client.read().status == 400
    assert time.monotonic() - begun >= 0.2


def test_who_is_refused_and_says_that_no_more_comes_is_answered(ours: int) -> None:
    with Connection(ours) as client:
        client.send(b"no HTTP at all\r\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read().status == 400


async def test_what_is_left_of_the_reads_of_many_is_gone_on_with_one_a_turn() -> None:
    left = LeftReads.of(asyncio.get_running_loop())
    ran: list[str] = []

    def again(name: str) -> None:
        ran.append(name)
        if len(ran) < 4:
            left.add(lambda: again(name))

    def fails() -> None:
        ran.append("fails")
        raise ValueError("its own connection's")

    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    for each in (lambda: again("a"), fails, lambda: again("b")):
        left.add(each)
    seen = []
    for _ in range(6):
        await asyncio.sleep(0)
        seen.append(len(ran))
    assert seen == [1, 2, 3, 4, 5, 5]
    assert ran == ["a", "fails", "b", "a", "b"]
