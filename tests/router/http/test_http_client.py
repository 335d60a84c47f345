"""The HTTP client of the router: what a server may do to a connection, and to whom it may not do it."""

from __future__ import annotations

import asyncio
import gc
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from router.http.client import Client, NoResponse, Response, Session, TooLong, open_session
from tests.certificates import certificate
from tests.waiting import settle, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
Serve = Callable[[int, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads heads, and lets `serve` answer the request of each number."""

    def __init__(self, session: Session, port: int) -> None:
        self.session = session
        self.client = Client(session, f"http://127.0.0.1:{port}")
        self.connections = 0
        self.heads: list[bytes] = []
        self.open = 0


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Server]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        server.open += 1
        try:
            while True:
                server.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await serve(len(server.heads), writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            server.open -= 1
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with open_session() as session:
        server = Server(session, listening.sockets[0].getsockname()[1])
        yield server
    listening.close()
    await until(lambda: not server.open)
    await settle()


async def answer(number: int, writer: asyncio.StreamWriter) -> None:
    writer.write(OK + b"%02d" % number)


async def test_requests_share_a_connection_and_each_has_its_own_answer() -> None:
    async with serving(answer) as server:
        bodies = [(await server.client.ask(b"/", 10)).body for _ in range(5)]
        assert bodies == [b"01", b"02", b"03", b"04", b"05"]
        assert server.connections == 1


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    gate = asyncio.Event()

    async def gated(number: int, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await answer(number, writer)

    async with serving(gated) as server:
        asked = [asyncio.create_task(server.client.ask(b"/", 10)) for _ in range(3)]
        await until(lambda: len(server.heads) == 3)
        gate.set()
        assert {(await each).status for each in asked} == {200}
        assert server.connections == 3


@pytest.mark.parametrize("wait", [True, False], ids=["later", "with the answer"])
@pytest.mark.parametrize("more", [OK + b"no", OK[:20], b"garbage"], ids=["whole", "a part", "garbage"])
async def test_bytes_that_nobody_asked_for_never_become_the_answer_to_the_next_request(
    wait: bool, more: bytes
) -> None:
    async def smuggle(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"%02d" % number + (b"" if wait else more))
        if wait:
            await writer.drain()
            await settle()
            writer.write(more)

    async with serving(smuggle) as server:
        for number in range(1, 4):
            assert (await server.client.ask(b"/", 10)).body == b"%02d" % number
            await until(lambda: not server.session)
        assert server.connections == 3


async def test_who_is_cancelled_leaves_no_connection_on_which_his_answer_could_reach_another() -> None:
    gate = asyncio.Event()

    async def late(number: int, writer: asyncio.StreamWriter) -> None:
        if number == 1:
            await gate.wait()
        await answer(number, writer)

    async with serving(late) as server:
        first = asyncio.create_task(server.client.ask(b"/", 10))
        await until(lambda: server.heads)
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        assert (await server.client.ask(b"/", 10)).body == b"02"
        assert server.connections == 2


@pytest.mark.parametrize(
    "framing",
    [
        b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Tag: trailer\r\n\r\n",
        b"\r\nok",
    ],
    ids=["closing", "chunked", "until the end"],
)
async def test_a_body_ends_where_its_head_says_and_trailers_are_no_headers(framing: bytes) -> None:
    async def framed(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Tag: a\r\nX-Tag: b\r\n" + framing)
        if b"chunked" not in framing:
            await writer.drain()
            writer.close()

    async with serving(framed) as server:
        for _ in range(2):
            response = await server.client.ask(b"/", 10)
            assert (response.body, response.headers[b"x-tag"]) == (b"ok", b"a")
        assert server.connections == (1 if b"chunked" in framing else 2)


async def test_an_interim_answer_is_no_answer() -> None:
    async def interim(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nX-Tag: early\r\n\r\n" + OK + b"ok")

    async with serving(interim) as server:
        response = await server.client.ask(b"/", 10)
        assert response == Response(200, {b"content-length": b"2"}, b"ok")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_HTTP = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "line feeds alone": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "another protocol": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a status below 100": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
    "an endless trailer": CHUNKED + b"0\r\nA: " + b"b" * 200_000,
    "endless trailers": CHUNKED + b"0\r\n" + b"A: b\r\n" * 20_000,
    "an endless extension": CHUNKED + b"1;a=" + b"b" * 200_000,
    "endless tiny chunks": CHUNKED + b"1\r\nb\r\n" * 20_000,
}


@pytest.mark.parametrize("text", NO_HTTP.values(), ids=NO_HTTP.keys())
async def test_what_could_be_read_in_two_ways_is_no_response(text: bytes) -> None:
    async def serve(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    async with serving(serve) as server:
        with pytest.raises(NoResponse):
            await server.client.ask(b"/", 1_000_000)
        await until(lambda: not server.session)


async def test_a_large_body_in_usual_chunks_is_read() -> None:
    async def chunks(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED + b"400\r\n%b\r\n" % (b"b" * 1024) * 20_000 + b"0\r\n\r\n")

    async with serving(chunks) as server:
        assert len((await server.client.ask(b"/", 30_000_000)).body) == 1024 * 20_000


@pytest.mark.parametrize("framing", [b"Content-Length: 90000\r\n\r\n", b"\r\n"])
async def test_a_refusal_is_known_by_its_status_however_long_it_is(framing: bytes) -> None:
    async def refuse(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Busy\r\n" + framing + b"b" * 90_000)

    async with serving(refuse) as server:
        assert (await server.client.ask(b"/", 1_000_000)).status == 503
        await until(lambda: not server.session)


async def test_a_call_that_the_server_drops_leaves_nothing_for_the_collector() -> None:
    made: list[weakref.ref[object]] = []

    async def drop(_number: int, writer: asyncio.StreamWriter) -> None:
        made.extend(map(weakref.ref, server.session))
        raise OSError

    gc.disable()
    try:
        async with serving(drop) as server:
            with pytest.raises(NoResponse):
                await server.client.ask(b"/", 10, b"[1]")
            await until(lambda: [each() for each in made] == [None])
    finally:
        gc.enable()


async def test_connections_that_the_server_closes_are_kept_no_longer() -> None:
    gate, closing = asyncio.Event(), asyncio.Event()

    async def gated(number: int, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await answer(number, writer)
        await closing.wait()
        raise OSError

    async with serving(gated) as server:
        asked = [asyncio.create_task(server.client.ask(b"/", 10)) for _ in range(3)]
        await until(lambda: len(server.heads) == 3)
        gate.set()
        await asyncio.gather(*asked)
        assert len(server.client._kept) == 3
        closing.set()
        await until(lambda: not server.client._kept)


def test_who_is_cancelled_while_a_connection_is_made_leaves_nothing_of_it() -> None:
    async def cancelled() -> None:
        async with serving(answer) as server:
            for turns in range(8):
                task = asyncio.create_task(server.client.ask(b"/", 10))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
            await until(lambda: server.session == server.client._kept.keys())

    uvloop.run(cancelled())  # as in production; asyncio's own loop tells of the end of such a connection


@pytest.mark.parametrize("length", [b"Content-Length: 11", b"Transfer-Encoding: chunked"])
async def test_a_body_beyond_the_limit_is_left(length: bytes) -> None:
    async def long(_number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\nb\r\nhello world\r\n0\r\n\r\n")

    async with serving(long) as server:
        with pytest.raises(TooLong):
            await server.client.ask(b"/", 10)
        await until(lambda: not server.session)


async def test_a_server_that_always_closes_is_asked_once_on_a_new_connection() -> None:
    async def close(_number: int, writer: asyncio.StreamWriter) -> None:
        raise OSError

    async with serving(close) as server:
        with pytest.raises(NoResponse, match="closed the connection"):
            await server.client.ask(b"/", 10)
        assert server.connections == 1


async def test_the_host_is_the_name_that_was_given_and_json_has_its_length() -> None:
    async with serving(answer) as server:
        await Client(server.session, server_url(server), "credit-v1:3001").ask(b"/", 10, b"[1]", b"a: b\r\n")
        head = server.heads[0].split(b"\r\n")
        assert head[:3] == [b"POST / HTTP/1.1", b"host: credit-v1:3001", b"a: b"]
        assert b"content-length: 3" in head


async def test_a_server_that_speaks_no_tls_is_not_asked_over_https() -> None:
    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with open_session() as session:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await Client(session, f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}").ask(b"/", 10)
    listening.close()


@pytest.mark.parametrize("host", ["credit-v1:3001", "credit-v2:3001", None])
async def test_over_https_the_certificate_names_the_host_and_not_its_address(
    host: str | None, tmp_path: Path
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"ok")

    found, key = certificate(tmp_path, "DNS:credit-v1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found, key)
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with open_session() as session:
        url = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        if host == "credit-v1:3001":
            assert (await Client(session, url, host, ca=str(found)).ask(b"/", 10)).body == b"ok"
            with pytest.raises(ssl.SSLCertVerificationError):
                await Client(session, url, host).ask(b"/", 10)  # whom the system does not trust
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                await Client(session, url, host, ca=str(found)).ask(b"/", 10)
    listening.close()


@pytest.mark.parametrize("content", [None, "", "-----BEGIN"], ids=["missing", "empty", "broken"])
async def test_certificates_that_cannot_be_read_are_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    async with open_session() as session:
        with pytest.raises(OSError, match=f"the certificates in {file} cannot be read"):
            await Client(session, "https://127.0.0.1:9", ca=str(file)).ask(b"/", 10)


async def test_certificates_that_were_replaced_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing yet")
    async with open_session() as session:
        client = Client(session, "https://127.0.0.1:9", ca=str(file))
        with pytest.raises(OSError, match="cannot be read"):
            await client.ask(b"/", 10)
        found, _ = certificate(tmp_path, "DNS:credit-v1")
        file.write_bytes(found.read_bytes())
        with pytest.raises(ConnectionRefusedError):
            await client.ask(b"/", 10)


def server_url(server: Server) -> str:
    host, port = server.client._address
    return f"http://{host}:{port}"
