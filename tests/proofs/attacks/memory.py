"""What a worker keeps for clients that are slow, do not read, or wait for a service that hangs."""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.proofs.attacks.attack import Attack, Found
from tests.proofs.attacks.installation import Installation
from tests.proofs.attacks.wire import post, request
from tests.proofs.faults.answers import LIVE, TREATMENT

_MOST_MIB: Final = 128
_LARGE: Final = 1_000_000
_SLOW_BODIES: Final = 250
_ROWS: Final = 400
_READS_NOTHING_S: Final = 45.0


def _mib(pid: int) -> float:
    """The memory of a process now, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("it does not say its memory")


def _ordinary(installation: Installation) -> int:
    body = {"user_id": "user-1", "features": {"row": "memory", "amount": 1}}
    return post(installation.port, "/predict/credit", body).status


def _grew(installation: Installation, requests: list[bytes], hold_s: float) -> tuple[float, int]:
    """By how many MiB a new worker grew while these were there, and what an ordinary request got then."""
    installation.router.terminate(5.0)  # what an earlier attack has let go of would be used again
    installation.start()
    _ordinary(installation)
    pid = installation.router.pid
    before = most = _mib(pid)
    with ExitStack() as stack:
        for data in requests:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", installation.port)))
            connection.settimeout(2.0)
            try:
                connection.sendall(data)
            except OSError:
                pass  # refused before all of it was sent
            most = max(most, _mib(pid))
        end = time.monotonic() + hold_s
        while time.monotonic() < end:
            most = max(most, _mib(pid))
            time.sleep(0.05)
        status = _ordinary(installation)
    return most - before, status


def slow_bodies(installation: Installation) -> Found:
    """250 bodies of 1 MB of which the last byte does not come."""
    head = request("POST", "/predict/credit", bytes(_LARGE))[:-_LARGE]
    grown, status = _grew(installation, [head + b" " * (_LARGE - 1)] * _SLOW_BODIES, 1.0)
    return Found(grown < _MOST_MIB and status == 200, f"{grown:.0f} MiB more, an ordinary request: {status}")


def rows_before_a_service_that_hangs(installation: Installation) -> Found:
    """400 rows of 1 MB, each another, for a service that answers nothing."""
    pad = b"x" * (_LARGE - 200)
    versions = f'["{LIVE}","{TREATMENT}"]'.encode()
    bodies = [
        b'{"user_id":"u%d","features":{"row":"%d","amount":1,"poison":"hangs","in":%b,"pad":"%b"}}'
        % (number, number, versions, pad)
        for number in range(_ROWS)
    ]
    installation.put(_with_timeout(installation, 10_000))
    requests = [request("POST", "/predict/credit", body) for body in bodies]
    grown, _ = _grew(installation, requests, 1.0)
    return Found(grown < _MOST_MIB, f"{grown:.0f} MiB more")


def _with_timeout(installation: Installation, timeout_ms: int) -> dict[str, object]:
    document = installation.document()
    document["models"]["credit"]["timeout_ms"] = timeout_ms
    return document


def client_that_never_reads(installation: Installation) -> Found:
    """A client that asks for 20 MB of pages and reads none of it."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(2.0)
        connection.connect(("127.0.0.1", installation.port))
        begun = time.monotonic()
        try:
            connection.sendall(request("GET", "/openapi.json") * 400)
        except OSError:
            pass  # it is not read either
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP)
        while time.monotonic() - begun < _READS_NOTHING_S:
            if poll.poll(250):
                return Found(True, f"closed after {time.monotonic() - begun:.0f} s")
    return Found(False, f"still open after {_READS_NOTHING_S:.0f} s")


ATTACKS: Final = (
    Attack("B23", "250 bodies of 1 MB that never end", f"below {_MOST_MIB} MiB, others served", slow_bodies),
    Attack(
        "B23",
        "400 rows of 1 MB before a service that hangs",
        f"below {_MOST_MIB} MiB",
        rows_before_a_service_that_hangs,
    ),
    Attack("B23", "a client that never reads", "closed", client_that_never_reads),
)
