"""What is refused as HTTP is told so, by a problem, and takes no answer away from anybody."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from ekiben.process.http import protocol
from ekiben.process.http.protocol import BoundedProtocol
from router.http.asgi import Receive, Scope, Send
from router.http.server import RouterProtocol
from tests.router.http.serving import get, post, served
from tests.router.running import Answer, Connection

HOST = b"Host: r\r\n"
GARBAGE = b"\x16\x03\x01\x02\x00\x01\r\n\r\n"


@pytest.fixture(scope="module")
def ours() -> Iterator[int]:
    with served(RouterProtocol) as port:
        yield port


def problem(answer: Answer, status: int = 400) -> str:
    """The detail of a problem, and the connection's last answer."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    found = answer.json
    assert found["status"] == status
    assert found["request_id"] == answer.headers["x-request-id"]
    return str(found["detail"])


def chunked(*more: str) -> bytes:
    return get("/echo", "Transfer-Encoding: chunked", *more, method="POST")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (b"GET /a HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
        (b"GET /a HTTP/1.1\nHost: r\n\n", 400),
        (b"GET /a HTTP/1.1\r\nHost : r\r\n\r\n", 400),
        (get("/a", "X: 1\r\n 2"), 400),
        (get("/a", "X: \x01"), 400),
        (get("/echo", "Content-Length: 3, 3", method="POST") + b"abc", 400),
        (get("/echo", "Content-Length: 3", "Content-Length: 3", method="POST") + b"abc", 400),
        (chunked("Content-Length: 3") + b"0\r\n\r\n", 400),
        (chunked() + b"0x1\r\nx\r\n0\r\n\r\n", 400),
        (chunked() + b"1\r\nxy0\r\n\r\n", 400),
        (get("/echo", "Transfer-Encoding: gzip, chunked", method="POST") + b"0\r\n\r\n", 501),
        (get("/echo", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked", method="POST"), 501),
        (get("/echo", "Transfer-Encoding: identity", method="POST"), 501),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_by_a_problem(
    ours: int, request_: bytes, status: int
) -> None:
    with Connection(ours) as client:
        client.send(request_)
        assert problem(client.read(), status)
        assert client.is_closed()


def test_a_head_that_is_too_large_is_431(ours: int) -> None:
    with Connection(ours) as client:
        client.send(b"GET /a HTTP/1.1\r\nX: ")
        for _ in range(6):
            client.send(b"x" * 65_536)
        assert "65536 bytes" in problem(client.read(), 431)


def test_fields_without_number_are_refused(ours: int) -> None:
    with Connection(ours) as client:
        client.send(b"GET /a HTTP/1.1\r\n" + HOST + b"a:\r\n" * 10_000 + b"\r\n")
        assert "128 fields" in problem(client.read(), 431)


def test_of_requests_by_the_thousand_those_that_may_wait_are_answered(ours: int) -> None:
    with Connection(ours) as client:
        client.send(get("/later") + get("/a") * 5_000)
        assert client.read().body == b"late"
        assert [client.read().body for _ in range(64)] == [b"/a"] * 64
        assert "64 requests" in problem(client.read(), 429)


@pytest.mark.parametrize("first", ["/a", "/later"])
def test_a_request_that_garbage_follows_is_answered_and_then_the_garbage(ours: int, first: str) -> None:
    with Connection(ours) as client:
        client.send(get(first) + GARBAGE)
        assert client.read().status == 200
        problem(client.read())
        assert client.is_closed()


def test_all_requests_before_the_garbage_are_answered(ours: int) -> None:
    with Connection(ours) as client:
        client.send(get("/later") + get("/b") + post("/echo", b"c") + GARBAGE)
        assert [client.read().body for _ in range(3)] == [b"late", b"/b", b"c"]
        problem(client.read())


def test_a_body_that_breaks_is_refused_after_the_requests_before_it(ours: int) -> None:
    with Connection(ours) as client:
        client.send(get("/later") + chunked() + b"1\r\na\r\nzz\r\n")
        assert client.read().body == b"late"
        problem(client.read())
        assert client.is_closed()


def test_what_a_refused_client_goes_on_to_send_does_not_take_its_answer_away(ours: int) -> None:
    with Connection(ours) as client:
        client.send(b"hello\r\n\r\n" + b"x" * 500_000)
        problem(client.read())


@pytest.mark.parametrize("request_", [get("/later"), post("/echo", b"late"), get("/a") + get("/later")])
def test_a_client_that_will_send_no_more_gets_its_answers(ours: int, request_: bytes) -> None:
    with Connection(ours) as client:
        client.send(request_)
        client.socket.shutdown(socket.SHUT_WR)
        if request_.startswith(get("/a")):
            assert client.read().body == b"/a"
        assert client.read().body == b"late"
        assert client.is_closed()


def test_a_body_that_will_never_be_whole_is_no_request_but_those_before_it_are_answered(ours: int) -> None:
    with Connection(ours) as client:
        client.send(get("/later") + get("/echo", "Content-Length: 9", method="POST") + b"half")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read().body == b"late"
        assert client.is_closed()


async def names(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the headers of the request, once its body has been read."""
    while (await receive()).get("more_body"):
        pass
    body = json.dumps([name.decode() for name, _ in scope["headers"]]).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


TRAILERS = b"1\r\nx\r\n0\r\nAuthorization: Bearer t\r\nX-User-ID: u\r\nX-Request-ID: i\r\nHost: r\r\n\r\n"


@pytest.mark.parametrize("protocol", [BoundedProtocol, RouterProtocol])
@pytest.mark.parametrize("offer", [(), ("Connection: upgrade", "Upgrade: h2c")])
def test_trailers_are_never_headers(protocol: type[BoundedProtocol], offer: tuple[str, ...]) -> None:
    head = ["host", "transfer-encoding", *(each.partition(":")[0].lower() for each in offer)]
    with served(protocol, names) as port:
        for parts in ([chunked(*offer) + TRAILERS], [chunked(*offer), TRAILERS]):
            with Connection(port) as client:
                for part in parts:
                    client.send(part)
                assert client.read().json == head
                client.send(get("/next"))
                assert client.read().json == ["host"]


def test_a_path_that_is_too_long_is_414(ours: int) -> None:
    with Connection(ours) as client:
        client.send(get("/" + "%41" * 3000))
        assert "8192 bytes" in problem(client.read(), 414)


class ManyPieces(RouterProtocol):
    max_small_pieces = 1_000_000


@pytest.fixture(scope="module")
def slow_to_parse() -> Iterator[int]:
    """A server on which each slice of a read takes all the time of a turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "_SLICES_S", 0.0)
        with served(ManyPieces) as port:
            yield port


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_what_is_parsed_over_many_turns_is_the_same_request(slow_to_parse: int, size: int) -> None:
    body = bytes(range(256)) * 400
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    with Connection(slow_to_parse) as client:
        client.send(chunked() + chunks + b"0\r\n\r\n" + get("/next"))
        assert client.read().body == body
        assert client.read().body == b"/next"


def test_another_connection_is_answered_between_the_slices_of_a_read(slow_to_parse: int) -> None:
    with Connection(slow_to_parse) as costly, Connection(slow_to_parse) as other:
        costly.send(chunked() + b"1\r\nx\r\n" * 100_000)
        for _ in range(5):
            other.send(get("/a"))
            assert other.read().body == b"/a"
        costly.send(b"0\r\n\r\n")
        assert len(costly.read().body) == 100_000


def test_a_body_in_thousands_of_tiny_chunks_is_refused_before_they_are_all_read(ours: int) -> None:
    with Connection(ours) as client:
        client.send(chunked() + (b"20\r\n" + b"x" * 32 + b"\r\n") * 5000 + b"0\r\n\r\n")
        assert len(client.read().body) == 160_000
        client.send(chunked() + b"1\r\nx\r\n" * 5000)
        assert client.read().status == 400


def test_who_leaves_while_its_bytes_are_parsed_harms_nobody(slow_to_parse: int) -> None:
    with Connection(slow_to_parse) as costly:
        costly.send(chunked() + b"1\r\nx\r\n" * 50_000)
    with Connection(slow_to_parse) as other:
        other.send(get("/a"))
        assert other.read().body == b"/a"
