"""How many connections a server holds, which of them make room, and what becomes of those that never read."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ekiben.process.budget import ByteBudget
from ekiben.process.environ import BadSetting
from ekiben.process.http.protocol import BoundedProtocol
from ekiben.process.http.serving import Connections
from router.http.asgi import Receive, Scope, Send
from tests.router.http.serving import LARGE, app, get, post, served
from tests.router.running import Connection
from tests.waiting import wait_for

MOST = 20


class Small(BoundedProtocol):
    """Twenty connections, and a client has a second to read."""

    head_timeout_s = 0.5
    write_timeout_s = 1.0


class Patient(BoundedProtocol):
    """As a server is; only its connections are few."""


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers `/never` never."""
    if scope["path"] == "/never":
        await asyncio.Event().wait()
    await app(scope, receive, send)


@pytest.fixture
def full() -> Iterator[int]:
    with served(Patient, busy, limit_concurrency=MOST) as port:
        yield port


def answers(port: int) -> bool:
    with Connection(port) as client:
        client.send(get("/a"))
        return client.read().body == b"/a"


def test_connections_that_never_ask_do_not_keep_others_out(full: int) -> None:
    with ExitStack() as stack:
        for _ in range(7 * MOST):
            stack.enter_context(Connection(full))
        for _ in range(3):
            assert answers(full)


def test_those_that_never_asked_make_room_before_those_that_did(full: int) -> None:
    with ExitStack() as stack:
        kept = stack.enter_context(Connection(full))
        kept.send(get("/a"))
        assert kept.read().body == b"/a"
        for _ in range(4 * MOST):
            stack.enter_context(Connection(full))
        kept.send(get("/b"))
        assert kept.read().body == b"/b"


def test_those_that_asked_long_ago_make_room_too(full: int) -> None:
    with ExitStack() as stack:
        kept = [stack.enter_context(Connection(full)) for _ in range(MOST)]
        for each in kept:
            each.send(get("/a"))
            assert each.read().body == b"/a"
        assert answers(full)
        assert kept[0].is_closed()
        kept[-1].send(get("/b"))
        assert kept[-1].read().body == b"/b"


def test_room_that_was_made_is_taken_once(full: int) -> None:
    with ExitStack() as stack:

        def asked() -> Connection:
            each = stack.enter_context(Connection(full))
            each.send(get("/a"))
            assert each.read().body == b"/a"
            return each

        kept = [asked() for _ in range(MOST)]
        assert answers(full)  # two make room
        kept += [asked(), asked()]
        assert answers(full)
        kept[2].socket.settimeout(2.0)  # far less than any connection may be idle
        assert kept[2].is_closed()


def test_where_all_are_busy_a_new_one_is_told_so_and_nobody_is_thrown_out(full: int) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(Connection(full)) for _ in range(MOST)]
        for each in waiting:
            each.send(get("/never"))

        def refused() -> bool:
            with Connection(full) as late:
                late.socket.settimeout(0.2)
                with contextlib.suppress(OSError):  # until all are busy one is let in, and asks nothing
                    answer = late.read()
                    assert answer.status == 503
                    assert answer.headers["retry-after"] == "1"
                    assert answer.headers["content-type"] == "application/problem+json"
                    return late.is_closed()
            return False

        assert wait_for(refused)
        for each in waiting:
            each.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.socket.recv(1)


def test_a_client_that_never_reads_is_let_go_of() -> None:
    before = BoundedProtocol.ended["not_read"]
    with served(Small) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(get("/large") * 3)
        assert wait_for(lambda: BoundedProtocol.ended["not_read"] > before)
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: client.recv(65536), b""))


def test_nor_does_it_matter_that_the_server_has_closed_already() -> None:
    before = BoundedProtocol.ended["not_read"]
    with served(Small) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(get("/large", "Connection: close"))
        assert wait_for(lambda: BoundedProtocol.ended["not_read"] > before)


def test_one_that_reads_slowly_gets_everything() -> None:
    with served(Small) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(("127.0.0.1", port))
        client.settimeout(30)
        client.sendall(get("/large", "Connection: close"))
        received = 0
        while data := client.recv(200_000):
            received += len(data)
        assert received > len(LARGE)


def test_the_kernel_holds_little_of_what_nobody_reads() -> None:
    with served(Patient) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(get("/large"))

        def unsent() -> int:
            with open("/proc/net/tcp") as table:
                for line in table.readlines()[1:]:
                    _, local, remote, _, queues, *_ = line.split()
                    ends = int(local.split(":")[1], 16), int(remote.split(":")[1], 16)
                    if ends == (port, client.getsockname()[1]):
                        return int(queues.split(":")[0], 16)
            return 0

        assert wait_for(unsent)
        end = time.monotonic() + 1  # it fills, as far as it will
        while time.monotonic() < end:
            assert unsent() < 512 * 1024
            time.sleep(0.02)


class Full(BoundedProtocol):
    """Its bodies have a megabyte together."""

    bodies = ByteBudget(1024 * 1024)


def half(size: int) -> bytes:
    """A request whose body has twice this size, and half of it."""
    return get("/echo", f"Content-Length: {2 * size}", method="POST") + b"x" * size


def test_bodies_have_one_budget_and_ordinary_requests_pass_whatever_others_send() -> None:
    with served(Full) as port, ExitStack() as stack:
        slow = [stack.enter_context(Connection(port)) for _ in range(20)]
        for each in slow:
            each.send(half(60_000))
        assert wait_for(lambda: Full.bodies.held >= 700_000)
        assert Full.bodies.most <= Full.bodies.limit
        large = stack.enter_context(Connection(port))
        large.send(post("/echo", b"x" * 500_000))
        answer = large.read()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["content-type"] == "application/problem+json"
        assert large.is_closed()
        assert answers(port)
        small = stack.enter_context(Connection(port))
        small.send(post("/echo", b"x" * 4_000))
        assert small.read().status == 200
        stack.close()
        assert wait_for(lambda: Full.bodies.held == 0)
        with Connection(port) as later:
            later.send(post("/echo", b"x" * 200_000))
            assert later.read().body == b"x" * 200_000
        assert wait_for(lambda: Full.bodies.held == 0)


class Queued(BoundedProtocol):
    """Its budget is its own."""

    bodies = ByteBudget(1024 * 1024)


def test_bodies_that_wait_behind_others_on_a_connection_count_until_they_are_answered() -> None:
    with served(Queued) as port, Connection(port) as client:
        client.send(get("/later") + post("/echo", b"x" * 3_000) * 20)
        assert [len(client.read().body) for _ in range(21)] == [4] + [3_000] * 20
        assert Queued.bodies.most > 2 * 3_000
        assert wait_for(lambda: Queued.bodies.held == 0)


class Long(BoundedProtocol):
    """Its budget is its own."""

    bodies = ByteBudget(256 * 1024)


def test_a_connection_that_always_has_a_request_waiting_holds_no_more_than_waits() -> None:
    request = post("/echo", b"x" * 3_000)
    with served(Long) as port, Connection(port) as client:
        client.send(get("/later") + request * 8)
        client.read()
        for _ in range(200):  # 600 KB, of which 8 requests wait at a time
            client.send(request)
            assert client.read().status == 200
        assert Long.bodies.most < 64 * 1024


class Spare(BoundedProtocol):
    """Its budget is its own."""

    bodies = ByteBudget(256 * 1024)
    large_bytes = 8 * 1024


def test_a_small_body_may_have_the_room_that_large_ones_must_leave() -> None:
    with served(Spare) as port, ExitStack() as stack:
        slow = [stack.enter_context(Connection(port)) for _ in range(4)]
        for each in slow:
            each.send(half(48_000))
        assert wait_for(lambda: Spare.bodies.held >= 190_000)
        for size, status in ((40_000, 503), (7_000, 200)):
            with Connection(port) as client:
                client.send(post("/echo", b"x" * size))
                assert client.read().status == status


def test_a_connection_waits_longer_than_load_balancers_hold_it() -> None:
    assert Connections().keep_alive_s == 75
    assert Connections.from_environ({"EKIBEN_KEEP_ALIVE_S": "620"}).options()["timeout_keep_alive"] == 620
    with pytest.raises(BadSetting, match="EKIBEN_KEEP_ALIVE_S"):
        Connections.from_environ({"EKIBEN_KEEP_ALIVE_S": "0"})


def test_there_are_fewer_connections_than_files() -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = Connections(most=10**9).options()["limit_concurrency"]
    assert most == resource.RLIM_INFINITY or limit < most
