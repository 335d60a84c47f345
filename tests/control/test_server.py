"""The controller's own server, as it runs: who waits, who pretends, and who never ends."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.ports import free_port
from tests.processes import Process
from tests.redis_server import RedisServer
from tests.router.running import Connection, ask

TOKEN = "the-admin-token-of-the-tests"
MOST = 50


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of `python -m ekiben.control`, which holds fifty connections."""
    folder = tmp_path_factory.mktemp("controller")
    redis = RedisServer(folder, "state")
    asyncio.run(redis.start())
    port = free_port()
    environ = {
        "EKIBEN_STATE_URL": redis.url,
        "EKIBEN_DATA_DIR": str(folder / "data"),
        "EKIBEN_CONTROLLER_PORT": str(port),
        "EKIBEN_ADMIN_TOKEN": TOKEN,
        "EKIBEN_MAX_CONNECTIONS": str(MOST),
    }
    process = Process("controller", folder, ["-m", "ekiben.control"], environ)
    process.start()
    try:
        process.wait_for(f"http://127.0.0.1:{port}/livez")
        yield port
    finally:
        process.kill()
        redis.kill()


def test_a_setting_that_cannot_be_used_is_a_line_of_the_program() -> None:
    environ = {**os.environ, "EKIBEN_STATE_URL": "nope"}
    command = [sys.executable, "-m", "ekiben.control"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("ekiben.control: EKIBEN_STATE_URL (or REDIS_URL) must be the address of a ")


def test_a_hundred_and_forty_idle_connections_do_not_silence_it(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(140):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
        for _ in range(3):
            assert ask(port, "/livez").status == 200
    assert 'ekiben_controller_connections_ended_total{reason="no_room"}' in (
        ask(port, "/metrics").body.decode()
    )


def test_a_token_behind_the_body_is_none(port: int) -> None:
    head = "POST /api/experiments/x/pause HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    body = b"2\r\n{}\r\n0\r\n"
    token = b"Authorization: Bearer %b\r\n" % TOKEN.encode()
    with Connection(port) as client:
        client.send(head.encode() + b"Authorization: Bearer wrong\r\n\r\n" + body + token + b"\r\n")
        assert client.read().status == 401
        client.send(head.encode() + b"\r\n" + body + token + b"\r\n")
        assert client.read().status == 401
        client.send(head.encode() + token + b"\r\n" + body + b"\r\n")
        assert client.read().status == 400  # let in: `why` is missing


def test_a_head_without_an_end_is_refused(port: int) -> None:
    with Connection(port) as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(6):
            client.send(b"x" * 65_536)
        assert client.read().status == 431
