"""A router that stands still blames nobody else for it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import orjson
import pytest

from ekiben.experiments.version import Version
from router.errors import DeadlinePassed
from router.http.client import open_session
from router.lanes.attempt import Batch
from router.lanes.breaker import BreakerState
from router.lanes.cache import InMemoryCache, LocalCache
from router.lanes.endpoint import Endpoint
from router.lanes.endpoints import Endpoints
from router.lanes.lag import LoopLag
from router.lanes.lane import Lane
from router.lanes.service import HttpService
from router.records.metrics import Metrics
from tests.router.conftest import build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import OUTPUT, Service
from tests.waiting import settle, undisturbed, until

ROWS = [b'{"row":1}']
BODY = orjson.dumps([{"ok": {"score": 1}}])
ANSWER = b"HTTP/1.1 200 OK\r\nX-Model-Version: v1:1\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def stand_still(seconds: float) -> None:
    """Let the event loop do nothing, as a computation would."""
    time.sleep(seconds)


class Elsewhere:
    """A model service in a thread: it answers while this process's event loop stands still, or never does."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.hangs = False
        self.asked = threading.Event()
        self.answered = threading.Event()
        self.open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except OSError:
            pass

    def _serve(self, connection: socket.socket) -> None:
        try:
            while connection.recv(65536):
                self.asked.set()
                if not self.hangs:
                    connection.sendall(ANSWER)
                    self.answered.set()
        except OSError:
            pass

    def close(self) -> None:
        self.listener.close()
        for connection in self.open:
            connection.close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    service = Elsewhere()
    yield service
    service.close()


async def test_a_stall_is_measured_and_a_calm_loop_has_none() -> None:
    lag = LoopLag()
    late: list[float] = []
    running = asyncio.create_task(lag.run(late.extend))
    begun = time.monotonic()
    await settle()
    stand_still(0.1)
    await until(lambda: lag.since(begun) > 0)
    assert lag.since(begun) > 0.08
    assert lag.since(time.monotonic()) == 0.0
    await until(lambda: late)
    assert max(late) > 0.08
    running.cancel()


async def test_an_answer_that_came_while_the_router_stood_still_is_taken(elsewhere: Elsewhere) -> None:
    async with open_session() as session:
        service = HttpService(session, Version(endpoints=(elsewhere.url,)), elsewhere.url, lag=LoopLag())
        await service.bulk(ROWS, 30, OUTPUT)  # connects
        elsewhere.asked.clear()
        elsewhere.answered.clear()
        call = asyncio.create_task(service.bulk(ROWS, 1.0, OUTPUT))
        await until(elsewhere.asked.is_set)
        assert elsewhere.answered.wait(30)
        stand_still(1.2)  # the loop stands still beyond the deadline
        assert (await call).model_version == "v1:1"


async def test_an_endpoint_that_hangs_is_charged_once_it_has_had_its_own_time(elsewhere: Elsewhere) -> None:
    elsewhere.hangs = True
    lag = LoopLag()
    running = asyncio.create_task(lag.run())
    async with open_session() as session:
        spec = Version(endpoints=(elsewhere.url,))
        version = Endpoints([Endpoint(elsewhere.url, HttpService(session, spec, elsewhere.url, lag=lag))])
        for _ in range(3):
            begun = time.monotonic()
            call = asyncio.create_task(version.call(Batch(ROWS, begun + 0.5)))
            await asyncio.to_thread(elsewhere.asked.wait, 30)
            elsewhere.asked.clear()
            stand_still(0.6)
            with pytest.raises(DeadlinePassed):
                await call
            assert time.monotonic() - begun > 0.95  # 0.5 s of its own, and 0.6 s that were not
    assert version.all[0].breaker.state is BreakerState.OPEN
    running.cancel()


@undisturbed
async def test_a_request_whose_answer_came_while_the_router_stood_still_gets_it() -> None:
    v1 = Service("v1")
    arrived = asyncio.Event()
    gate = asyncio.Event()

    async def bulk(*_: object) -> object:
        arrived.set()
        await gate.wait()
        return await Service.bulk(v1, ROWS, 30, OUTPUT)

    v1.bulk = bulk  # type: ignore[method-assign, assignment]
    async with build_app(credit_document(timeout_ms=1000), {V1: v1, V2: v1, V3: v1}) as router:
        asked = asyncio.create_task(router.client.predict(None, {"row": 1}))
        await arrived.wait()
        asyncio.get_running_loop().call_later(0.5, gate.set)
        stand_still(1.2)
        assert (await asked).status == 200


@undisturbed
async def test_a_second_stall_takes_no_time_from_who_was_in_time_before_it() -> None:
    v1 = Service("v1")
    gate = asyncio.Event()

    async def bulk(rows: Sequence[bytes], *_: object) -> object:
        await gate.wait()
        return await Service.bulk(v1, rows, 30, OUTPUT)

    v1.bulk = bulk  # type: ignore[method-assign, assignment]
    lane = Lane(
        "credit",
        "v1",
        Endpoints([Endpoint("http://a", v1)]),
        InMemoryCache(),
        LocalCache(0),
        Metrics().version("credit", "v1"),
        ttl_s=0,
    )
    now = time.monotonic()
    first = lane.submit(b'{"row":1}', "1", now + 0.6)
    second = lane.submit(b'{"row":2}', "2", now + 1.3)
    await asyncio.sleep(0.3)
    stand_still(0.4)  # until the first one's time is over
    await asyncio.sleep(0.005)
    asyncio.get_running_loop().call_later(0.1, gate.set)
    stand_still(0.8)  # beyond the second one's time, and its answer comes meanwhile
    assert (await second).answer.model_version
    with pytest.raises(DeadlinePassed):
        await first
