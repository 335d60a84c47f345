"""How a body is read: whole, of the right kind, and no further than it may be."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import Message, Scope

from ekiben.serving.body import MAX_BODY_BYTES, BodyRefused, ClientGone, is_deeper_than, parse, read_body

JSON = (b"content-type", b"application/json")


class Client:
    """Sends messages, and counts how many were asked for."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.asked = 0

    async def receive(self) -> Message:
        self.asked += 1
        return self.messages.pop(0) if self.messages else {"type": "http.disconnect"}


def chunk(body: bytes, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def scope(*headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "headers": list(headers)}


async def test_chunks_make_one_body() -> None:
    client = Client(chunk(b"[1,", True), chunk(b"", True), chunk(b"2]", False))
    assert await read_body(scope(JSON), client.receive) == b"[1,2]"


async def test_a_declared_length_over_the_limit_is_refused_unread() -> None:
    client = Client(chunk(b"[]", False))
    with pytest.raises(BodyRefused) as refused:
        await read_body(scope(JSON, (b"content-length", b"%d" % (MAX_BODY_BYTES + 1))), client.receive)
    assert refused.value.status == 413
    assert client.asked == 0


async def test_an_undeclared_length_over_the_limit_is_refused_where_it_passes_it() -> None:
    client = Client(*[chunk(bytes(1024 * 1024), True)] * 20)
    with pytest.raises(BodyRefused) as refused:
        await read_body(scope(JSON), client.receive)
    assert refused.value.status == 413
    assert client.asked == 9


async def test_exactly_the_limit_is_read() -> None:
    client = Client(chunk(bytes(MAX_BODY_BYTES), False))
    assert len(await read_body(scope(JSON), client.receive)) == MAX_BODY_BYTES


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/vnd.bentoml+pickle")],
        [(b"content-type", b"application/jsonp")],
        [(b"content-type", b"multipart/form-data; boundary=application/json")],
    ],
)
async def test_what_is_not_declared_as_json_is_refused_unread(headers: list[tuple[bytes, bytes]]) -> None:
    client = Client(chunk(b"[]", False))
    with pytest.raises(BodyRefused) as refused:
        await read_body(scope(*headers), client.receive)
    assert refused.value.status == 415
    assert client.asked == 0


async def test_json_with_a_charset_is_json() -> None:
    client = Client(chunk(b"[]", False))
    assert (
        await read_body(scope((b"content-type", b"Application/JSON; charset=utf-8")), client.receive) == b"[]"
    )


async def test_a_client_that_leaves_is_noticed() -> None:
    client = Client(chunk(b"[1,", True))
    with pytest.raises(ClientGone):
        await read_body(scope(JSON), client.receive)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b"[Infinity]",
        b"[1e999]",
        b"[" + b"9" * 5000 + b"]",
        b'["\xff"]',
        b'["\\ud800"]',
        b"[" * 2000 + b"]" * 2000,
        b"[1,]",
        b"[1] x",
        b"\xef\xbb\xbf[]",
        b"{'a': 1}",
    ],
)
def test_what_is_not_strict_json_is_400(body: bytes) -> None:
    with pytest.raises(BodyRefused) as refused:
        parse(body)
    assert refused.value.status == 400


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
def test_depth_counts_arrays_and_objects(wrap: Any) -> None:
    value: Any = 1
    for _ in range(64):
        value = wrap(value)
    assert not is_deeper_than(value, 64)
    assert is_deeper_than(wrap(value), 64)
    assert is_deeper_than([1, "x", wrap(value)], 64)
