"""SIGTERM: what has been asked is answered, then the container ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import httpx

from tests.images.containers import Container
from tests.images.station import Station, until
from tests.images.test_serving import predict


class Asking:
    """Asks the router again and again over connections of its own, as a proxy would, until told to stop."""

    def __init__(self, container: Container, applicants: list[dict[str, Any]]) -> None:
        self.statuses: list[int] = []
        self.errors: list[str] = []
        self._container = container
        self._applicants = applicants
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _ask(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            features = {**self._applicants[number % len(self._applicants)], "amount": 1000 + number}
            try:
                self.statuses.append(predict(self._container, f"d-{number}", features).status_code)
            except httpx.TransportError as error:
                self.errors.append(repr(error))


def test_a_router_answers_until_everybody_has_heard_that_it_goes(
    station: Station, applicants: list[dict[str, Any]]
) -> None:
    router = station.ready(station.start_router())
    until(lambda: predict(router, "d-0", applicants[0]).status_code == 200)
    asking = Asking(router, applicants)
    try:
        until(lambda: len(asking.statuses) > 20)
        router.signal("TERM")
        told = time.monotonic()
        # The readiness probe: from here on no proxy sends it anything new.
        until(lambda: (got := router.get("/readyz")) is not None and got.status_code == 503)
        before = len(asking.statuses)
        until(lambda: len(asking.statuses) > before + 20)  # it goes on answering who has not heard
        time.sleep(max(0.0, 4.0 - (time.monotonic() - told)))  # what the probe needs: two failures, 2 s apart
    finally:
        asking.stop()
    assert asking.errors == []
    assert set(asking.statuses) == {200}
    assert router.wait(station.workload("ekiben-router").pod["terminationGracePeriodSeconds"]) == 0
    assert "Traceback" not in router.log.read_text()


def test_a_version_answers_what_it_was_asked_before_it_ends(
    station: Station, applicants: list[dict[str, Any]]
) -> None:
    container = station.ready(station.start("credit-v2"))
    body = json.dumps(applicants).encode()
    head = (
        "POST /bulk HTTP/1.1\r\nhost: credit-v2\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    with socket.create_connection((container.address, 3000), timeout=20) as connection:
        connection.sendall(head.encode() + body[:-100])
        assert container.get("/livez") is not None  # the half request was read before this one
        container.signal("TERM")
        time.sleep(1.0)  # it is stopping: nothing of it can be asked for that
        connection.sendall(body[-100:])
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    items = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    assert ["ok" in item for item in items] == [True] * len(applicants)
    assert container.wait(station.workload("credit-v2").pod["terminationGracePeriodSeconds"]) == 0
