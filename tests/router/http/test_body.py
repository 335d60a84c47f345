"""Bodies: how large they may be, and how long they may take."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from router.errors import BadRequest
from router.http.asgi import Receive, Request
from router.http.server import RouterProtocol
from tests.router.client import Response
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.running import Connection, ModelServer, RouterProcess, running_router, write_experiments
from tests.router.services import Service

LIMIT = 2048
BODY = b'{"features": {"row": 1}}'
HEADERS = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]


def head(*headers: str) -> bytes:
    fixed = ["POST /predict/credit HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    return "\r\n".join([*fixed, *headers, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """One real router for all that is sent to it here."""
    folder = tmp_path_factory.mktemp("router")
    service = ModelServer("v1")
    write_experiments(folder, {"v1": service})
    with running_router(folder, max_body_bytes=str(LIMIT)) as router:
        yield router
    service.close()


def test_a_body_over_the_limit_is_413_before_it_is_sent(real: RouterProcess) -> None:
    for length in (str(LIMIT + 1), "9" * 18):
        with Connection(real.port) as large:
            large.send(head(f"Content-Length: {length}"))
            assert large.read().status == 413


def test_a_chunked_body_is_413_as_soon_as_it_is_over_the_limit(real: RouterProcess) -> None:
    with Connection(real.port) as large:
        large.send(head("Transfer-Encoding: chunked") + chunk(b"x" * LIMIT) + chunk(b"x"))
        assert large.read().status == 413


def test_a_chunked_body_of_the_limit_is_taken(real: RouterProcess) -> None:
    with Connection(real.port) as whole:
        body = BODY + b" " * (LIMIT - len(BODY))
        whole.send(head("Transfer-Encoding: chunked"))
        for start in range(0, LIMIT, 100):
            whole.send(chunk(body[start : start + 100]))
        whole.send(b"0\r\n\r\n")
        assert whole.read().status == 200


def test_what_follows_a_refused_body_on_its_connection_is_answered(real: RouterProcess) -> None:
    with Connection(real.port) as kept:
        kept.send(head(f"Content-Length: {LIMIT + 1}") + b"x" * (LIMIT + 1))
        assert kept.read().status == 413
        kept.send(head(f"Content-Length: {len(BODY)}") + BODY)
        assert kept.read().status == 200


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: -1",),
        ("Content-Length: abc",),
        ("Content-Length: " + "9" * 5000,),
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: 24", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked, gzip",),
    ],
)
def test_a_body_whose_end_is_not_clear_is_refused_and_the_connection_closed(
    real: RouterProcess, headers: tuple[str, ...]
) -> None:
    # Whoever stands in front may see another end than this: the way requests are smuggled.
    with Connection(real.port) as odd:
        odd.send(head(*headers) + BODY)
        assert odd.read().status == 400
        assert odd.is_closed()


def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(real: RouterProcess) -> None:
    for _ in range(20):
        with Connection(real.port) as gone:
            gone.send(head("Content-Length: 24") + BODY[:5])
    with Connection(real.port) as next_one:
        next_one.send(head(f"Content-Length: {len(BODY)}") + BODY)
        assert next_one.read().status == 200
    assert not any(line["level"] == "error" for line in real.told())


async def slow(router: Router, *parts: bytes) -> Response:
    """`POST /predict/credit` of these parts, and then nothing more; what was sent back."""
    incoming = iter(parts)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        part = next(incoming, None)
        if part is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict/credit", "headers": HEADERS}
    await router.app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Response(sent[0]["status"], headers, sent[1]["body"])


@pytest.mark.parametrize("parts", [(), (b"",), (b'{"features"',), (b"{", b'"features"')])
async def test_a_body_that_does_not_arrive_in_time_is_408_and_the_connection_is_closed(
    parts: tuple[bytes, ...],
) -> None:
    async with build_app(
        credit_document(), {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    ) as router:
        router.worker.body_timeout_s = 0.05
        response = await slow(router, *parts)
        assert response.status == 408
        assert response.headers["connection"] == "close"
        assert response.headers["content-type"] == "application/problem+json"
        assert router.counted("ekiben_problems_total", status="408") == 1


@pytest.mark.parametrize("body", [b"", b'{"feat'])
async def test_on_a_real_connection_the_408_is_the_last_that_comes(body: bytes) -> None:
    async with build_app(
        credit_document(), {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    ) as router:
        router.worker.body_timeout_s = 0.05
        config = uvicorn.Config(router.app, http=RouterProtocol, ws="none", lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: RouterProtocol(config, state, {}, loop), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(head("Content-Length: 24") + body)
            answer = await asyncio.wait_for(reader.read(), 30)
            writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer


def arriving(receive: Receive) -> Request:
    """A request whose body is on its way. It is never answered."""

    async def send(_message: Any) -> None:
        raise AssertionError

    return Request({"headers": []}, receive, send, lambda: "id")


async def test_a_slow_body_that_arrives_in_time_is_read_whole() -> None:
    parts = [b"a", b"b", b"", b"c"]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.001)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    assert await arriving(receive).body(10) == b"abc"


async def test_a_caller_who_is_cancelled_while_its_body_is_awaited_takes_its_wait_along() -> None:
    cancelled = asyncio.Event()

    async def receive() -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    task = asyncio.create_task(arriving(receive).body(10))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


async def test_a_client_that_leaves_before_its_body_is_no_slow_one() -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    with pytest.raises(BadRequest):
        await arriving(receive).body(10, 5.0)
