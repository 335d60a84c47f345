"""The HTTP border to a model service, against servers that write what they please."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator

import orjson
import pytest

from router.errors import (
    BulkFailed,
    BulkRefused,
    DeadlinePassed,
    RowRefused,
    VersionFailed,
    VersionMalformed,
    VersionUnavailable,
)
from router.http.client import open_session
from router.lanes.answer import UNKNOWN_OUTPUT, Answer
from tests.router.lanes.peer import TAG, Peer, open_at, open_peer, response
from tests.waiting import settle

ROWS = [b'{"row":1}', b'{"row":2}']
GOOD = orjson.dumps([{"ok": {"score": 1}}, {"error": {"status": 422, "errors": []}}])


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with open_peer() as found:
        yield found


async def test_rows_go_out_as_one_array_to_bulk_and_the_tag_comes_from_the_header(peer: Peer) -> None:
    peer.answers = [response(GOOD)]
    answer = await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)
    assert answer.model_version == "credit_v1:abc"
    assert isinstance(answer.rows[0], Answer)
    assert orjson.loads(answer.rows[0].body) == {"score": 1}
    assert isinstance(answer.rows[1], RowRefused)
    assert answer.is_usable
    (request,) = peer.requests
    assert request.startswith(b"POST /bulk HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n[{"row":1},{"row":2}]')
    assert b"content-type: application/json" in request.lower()


async def test_one_connection_serves_many_calls(peer: Peer) -> None:
    peer.answers = [response(GOOD)]
    for _ in range(20):
        await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)
    assert peer.connections == 1


async def test_a_connection_is_used_again_after_a_failure_whose_body_came_late() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"}]")
                writer.write(response(b"oops", "500 Oops")[:-4])
                await writer.drain()
                await asyncio.sleep(0.01)  # the head is read before the body is there
                writer.write(b"oops")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with open_session() as session:
        failing = open_at(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        for _ in range(5):
            with pytest.raises(BulkFailed):
                await failing.bulk(ROWS, 30, UNKNOWN_OUTPUT)
    assert connections == 1
    server.close()
    await settle()


@pytest.mark.parametrize("status", ["400 Bad Request", "413 Too Large", "422 Unprocessable"])
async def test_a_call_refused_for_what_it_holds_is_refused_and_not_failed(peer: Peer, status: str) -> None:
    peer.answers = [response(b"{}", status)]
    with pytest.raises(BulkRefused):
        await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)


@pytest.mark.parametrize(
    "status",
    ["503 Busy", "404 None", "401 Who", "429 Slow", "204 No Content", "201 Created", "307 Away"],
)
async def test_any_other_status_speaks_of_the_service(peer: Peer, status: str) -> None:
    peer.answers = [response(GOOD, status, TAG + b"Location: /bulk/\r\n")]
    with pytest.raises(VersionUnavailable):
        await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)
    assert len(peer.requests) == 1, "a redirect was followed"


async def test_a_500_may_be_the_fault_of_what_the_call_holds(peer: Peer) -> None:
    peer.answers = [response(b"oops", "500 Oops")]
    with pytest.raises(BulkFailed):
        await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)


MALFORMED = {
    "no JSON": response(b"garbage"),
    "nothing": response(b""),
    "an object": response(b"{}"),
    "short by one": response(orjson.dumps([{"ok": {}}])),
    "one too many": response(orjson.dumps([{"ok": {}}] * 3)),
    "an item without ok and error": response(orjson.dumps([{"ok": {}}, {}])),
    "an item that is no object": response(orjson.dumps([{"ok": {}}, 1])),
    "an error that is no object": response(orjson.dumps([{"ok": {}}, {"error": 1}])),
    "NaN": response(b'[{"ok":{"score":NaN}},{"ok":{}}]'),
    "bad UTF-8": response(b'[{"ok":{"a":"\xff"}},{"ok":{}}]'),
    "compressed": response(gzip.compress(GOOD), headers=TAG + b"Content-Encoding: gzip\r\n"),
    "no tag": response(GOOD, headers=b""),
    "an empty tag": response(GOOD, headers=b"X-Model-Version: \r\n"),
    "a tag that is not UTF-8": response(GOOD, headers=b"X-Model-Version: \xff\xfe\r\n"),
    "an absurd length": b"HTTP/1.1 200 OK\r\n" + TAG + b"Content-Length: 99999999999\r\n\r\n[",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_no_answer_is_malformed(peer: Peer, answer: bytes) -> None:
    peer.answers = [answer]
    with pytest.raises(VersionMalformed):
        await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)


@pytest.mark.parametrize("path", ["bulk", "info"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_an_answer_without_a_length_is_left_where_it_passes_the_limit(path: str, packed: bool) -> None:
    sent = 0
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        encoding = b"Content-Encoding: gzip\r\n" if packed else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + TAG + encoding + b"Transfer-Encoding: chunked\r\n\r\n")
        part = b"[" * 1_000_000
        with contextlib.suppress(OSError):
            while sent < 1000:
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
                sent += 1
        left.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with open_session() as session:
        endless = open_at(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(VersionMalformed, match="length"):
            await (endless.bulk(ROWS, 30, UNKNOWN_OUTPUT) if path == "bulk" else endless.info(30))
        await left.wait()
    assert sent < (100 if path == "bulk" else 20)
    server.close()


BROKEN = {
    "closed at once": None,
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a huge head": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_no_http_is_unavailable(peer: Peer, answer: bytes | None) -> None:
    peer.answers = [answer]
    with pytest.raises(VersionUnavailable):
        await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)


async def test_an_answer_that_breaks_off_is_unavailable() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response(GOOD)[:-3])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with open_session() as session:
        broken = open_at(session, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(VersionUnavailable):
            await broken.bulk(ROWS, 30, UNKNOWN_OUTPUT)
    server.close()


async def test_nobody_there_is_unavailable() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with open_session() as session:
        with pytest.raises(VersionUnavailable):
            await open_at(session, f"http://127.0.0.1:{port}").bulk(ROWS, 30, UNKNOWN_OUTPUT)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n", response(GOOD)[:-3]], ids=["all", "head", "body"]
)
async def test_a_service_that_hangs_is_left_at_the_deadline(peer: Peer, answer: bytes) -> None:
    peer.answers = [answer]
    with pytest.raises(DeadlinePassed):
        await peer.service.bulk(ROWS, 0.05, UNKNOWN_OUTPUT)


async def test_a_kept_connection_that_the_service_had_closed_costs_no_call(peer: Peer) -> None:
    peer.answers = [response(GOOD), None, response(GOOD)]
    await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)
    assert await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)
    assert peer.connections == 2


async def test_info_is_read(peer: Peer) -> None:
    raw = {"model_version": "credit_v1:abc", "output": {"score": "p", "decision": "d"}, "features": {}}
    peer.answers = [response(orjson.dumps(raw))]
    info = await peer.service.info(30)
    assert (info.model_version, info.output.score, info.output.decision, info.raw) == (
        "credit_v1:abc",
        "p",
        "d",
        raw,
    )


@pytest.mark.parametrize(
    "answer",
    [
        response(b"{}"),
        response(b"garbage"),
        response(b"[]"),
        response(b'{"model_version": 1}'),
        response(b'{"model_version": ""}'),
        response(b'{"model_version": "a", "deep": ' + b"[" * 500 + b"]" * 500 + b"}"),
        response(b"{}", "404 None"),
        b"",
    ],
)
async def test_info_that_cannot_be_used_fails_the_version(peer: Peer, answer: bytes) -> None:
    peer.answers = [answer]
    with pytest.raises(VersionFailed):
        await peer.service.info(30 if answer else 0.05)


async def test_a_proxy_of_the_environment_sees_no_call_to_a_service(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    peer.answers = [response(GOOD)]
    assert await peer.service.bulk(ROWS, 30, UNKNOWN_OUTPUT)
