"""Stopping: who asks is told to go elsewhere, who waits is answered, and then it ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.router.running import Answer, Connection, ModelServer, ask, predict, running_router
from tests.waiting import wait_for

PREDICT = b'{"user_id": "u-1", "features": {"row": 7}}'
REQUEST = (
    b"POST /predict/credit HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b"
    % (
        len(PREDICT),
        PREDICT,
    )
)
BOTH = pytest.mark.parametrize("workers", ["1", "2"])


def draining(port: int) -> bool:
    """Whether (every worker of) the router says that it is not ready."""
    return all(ask(port, "/readyz").status == 503 for _ in range(20))


@BOTH
def test_on_sigterm_it_says_not_ready_but_answers_and_on_a_second_one_it_ends(
    folder: Path, workers: str
) -> None:
    settings = {"workers": workers, "drain_s": "120", "shutdown_grace_s": "200"}
    with running_router(folder, **settings) as router, Connection(router.port) as kept:
        kept.send(REQUEST)
        assert "connection" not in kept.read().headers
        router.terminate()
        wait_for(lambda: draining(router.port))
        assert ask(router.port, "/livez").status == 200
        fresh = predict(router.port)
        assert fresh.status == 200
        assert fresh.headers["connection"] == "close"
        kept.send(REQUEST)
        answer = kept.read()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert kept.is_closed()
        # A second one does not wait for the end of draining.
        router.terminate()
        assert router.wait() == 0
        assert "Traceback" not in router.log.read_text()


@BOTH
def test_what_is_in_flight_when_the_listener_closes_is_answered(
    folder: Path, workers: str, v1: ModelServer, v2: ModelServer
) -> None:
    v1.hold()
    with running_router(folder, workers=workers, drain_s="1") as router:
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(predict(router.port, None)))
        asking.start()
        assert v1.arrived.wait(30)
        router.terminate()

        def refused() -> bool:
            try:
                return ask(router.port, "/livez").status < 0
            except (OSError, AssertionError):
                return True

        wait_for(refused)
        assert router.process.poll() is None
        v1.release()
        asking.join()
        assert answers[0].status == 200
        assert router.wait() == 0


def test_it_ends_within_the_grace_though_a_service_never_answers(folder: Path, v1: ModelServer) -> None:
    v1.hold()
    with (
        running_router(folder, drain_s="1", shutdown_grace_s="3") as router,
        Connection(router.port) as waits,
    ):
        waits.send(
            b"POST /predict/credit HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 16\r\n\r\n"
            b'{"features": {}}'
        )
        assert v1.arrived.wait(30)
        begun = time.monotonic()
        router.terminate()
        assert router.wait() == 0
        # The service would have had 10 s; the bound leaves room for a busy machine.
        assert time.monotonic() - begun < 8


def test_ctrl_c_ends_it_without_draining(folder: Path) -> None:
    with running_router(folder, drain_s="120", shutdown_grace_s="200") as router:
        router.process.send_signal(signal.SIGINT)
        assert router.wait(30) == 0
        assert "Traceback" not in router.log.read_text()


def test_a_worker_that_is_stuck_does_not_keep_the_others_from_ending(folder: Path) -> None:
    with running_router(folder, workers="2", drain_s="0", shutdown_grace_s="1") as router:
        children = Path(f"/proc/{router.process.pid}/task/{router.process.pid}/children").read_text().split()
        workers = [
            int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGSTOP)
        router.terminate()
        assert router.wait() == 0
