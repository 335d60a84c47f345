"""What is attacked: a router of one measured worker, both Redis, three services, a controller."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

import orjson

from ekiben.experiments.parsing import parse_document
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.document import DOCUMENT_KEY, Conflict, Stored, open_store
from tests.ports import free_port
from tests.proofs.attacks.beside import Other, Ran, run_command
from tests.proofs.attacks.measured import SOCKET, TICK_S
from tests.proofs.attacks.wire import Answer, get, post
from tests.proofs.faults.answered import Expected
from tests.proofs.faults.load import Load
from tests.proofs.faults.processes import Process, http_get
from tests.proofs.faults.station import EXPERIMENT, SERVED_BY, Service, Station, document

TIMEOUT_MS: Final = 300
"""The model's time-out: what a document has that names none."""
TOKEN: Final = "token-of-the-attacked"
_PATIENCE_S: Final = 15.0


class Turned(NamedTuple):
    """How the worker's loop turned: the longest time between two turns, the most CPU time that its thread
    took between two, and all of it.
    """

    longest_ms: float
    longest_cpu_ms: float
    cpu_ms: float


class Installation(Station):
    """The processes, started with the block and ended with it."""

    worker_count = 1

    def __init__(self, timeout_ms: int = TIMEOUT_MS, with_controller: bool = True) -> None:
        self._timeout_ms = timeout_ms
        super().__init__(timeout_ms)
        self.events = self.folder / "events"
        self.controller_data = self.folder / "controller"
        self.controller_port = free_port()
        self.controller = Process(
            "controller",
            [sys.executable, "-m", "ekiben.control"],
            self.logs,
            lambda: http_get(f"http://127.0.0.1:{self.controller_port}/readyz") == 200,
            self.controller_environment,
        )
        self._with_controller = with_controller

    @property
    def everything(self) -> list[Process]:
        """All processes, in the order in which they start."""
        return [*super().everything, *([self.controller] if self._with_controller else [])]

    def workers(self) -> list[int]:
        """The router is its own one worker."""
        return [self.router.pid]

    def document(self, **experiment: Any) -> dict[str, Any]:
        """The document that everything starts with, the experiment's fields replaced by these."""
        data = document(self.service_ports, timeout_ms=self._timeout_ms)
        data["experiments"][EXPERIMENT] |= experiment
        return data

    def held(self) -> Stored:
        """The document as it stands in Redis."""
        held = load_from(self.state.url)
        assert held is not None, "Redis holds no document"
        return held

    def put(self, data: Mapping[str, Any]) -> Stored:
        """Replace the document, whatever it is, and wait until the worker routes by the new one."""
        stored = put_in(self.state.url, data)
        self.wait_for_revision(stored.revision)
        return stored

    def store(self, data: Mapping[str, Any], url: str | None = None) -> Stored:
        """Replace the document, here or in the Redis at `url`, and wait for nobody."""
        return put_in(url or self.state.url, data)

    def wait_for_revision(self, revision: int) -> None:
        """Wait until the worker routes by this revision or a later one."""
        self.wait(lambda: self.revision() >= revision, f"revision {revision} was not taken up")

    def revision(self) -> int:
        """The revision that the worker routes by; 0 without one."""
        data = get(self.port, "/healthz").data
        return int(data.get("revision") or 0) if data else 0

    def restore(self) -> None:
        """What is down is started again, and the document is the first one."""
        self.start()
        try:
            stored = self.store(self.document())
        except StateUnavailable:  # an attack has left what cannot be read
            with self.state.client() as client:
                client.delete(DOCUMENT_KEY)
            stored = self.store(self.document())
        with suppress(AssertionError):
            self.wait_for_revision(stored.revision)

    def wait(self, what: Callable[[], bool], otherwise: str, within_s: float = _PATIENCE_S) -> None:
        """Wait until `what` is true. Raises AssertionError."""
        assert self.comes_true(what, within_s), otherwise

    def comes_true(self, what: Callable[[], bool], within_s: float = _PATIENCE_S) -> bool:
        """Whether `what` becomes true in time."""
        end = time.monotonic() + within_s
        while not what():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def load(self, rate: float) -> Load:
        """So many ordinary requests a second, each answer judged. What would make more than two seconds of
        requests under way is not sent, and noted as `left_out`: who is that late has failed them.
        """
        expected = Expected(EXPERIMENT)
        return Load(
            self.url, expected, rate, timeout_s=self.timeout_s, most_under_way=max(200, int(2 * rate))
        )

    def turned(self, tick_s: float = TICK_S) -> Turned:
        """How the worker's loop turned since this was last asked. It ticks each `tick_s` seconds from now."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(self._measured))
            connection.sendall(b"%f\n" % tick_s)
            line = connection.makefile("rb").readline()
        return Turned(**orjson.loads(line))

    def cpu_s(self) -> float:
        """The CPU time of the worker so far, in all of its threads."""
        # The kernel's clock of another process, CPUCLOCK_SCHED: to the nanosecond, where /proc counts ticks.
        return time.clock_gettime((~self.router.pid << 3) | 2)

    def admin(self, path: str, data: Any = None, token: str = TOKEN) -> Answer:
        """Ask the controller's API."""
        authorization = f"Bearer {token}"
        if data is None:
            return get(self.controller_port, f"/api{path}", authorization=authorization)
        return post(self.controller_port, f"/api{path}", data, authorization=authorization)

    def other(self, module: str = "router", open_files: int | None = None, **environment: str) -> Other:
        """A router, or another module, of the same installation, to be started."""
        port = str(free_port())
        settings = {
            **(self.controller_environment if module != "router" else self.router_environment),
            "EKIBEN_PORT": port,
            "EKIBEN_CONTROLLER_PORT": port,
            "EKIBEN_DATA_DIR": str(self.folder / "other"),
            **environment,
        }
        return Other(module, int(port), self.logs, settings, open_files)

    def command(self, *arguments: str, within_s: float = 15.0, **environment: str) -> Ran:
        """Run `ekiben` with these arguments against this installation."""
        return run_command(
            [sys.executable, "-m", "ekiben", *arguments],
            {
                **self.controller_environment,
                "EKIBEN_ROUTER_URL": self.url,
                "EKIBEN_CONTROLLER_URL": f"http://127.0.0.1:{self.controller_port}",
                **environment,
            },
            self.folder,
            within_s,
        )

    def _services(self) -> dict[str, Process]:
        return {
            name: Service(name, SERVED_BY[name], port, self.logs, "tests.proofs.attacks.service")
            for name, port in self.service_ports.items()
        }

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "tests.proofs.attacks.measured"]

    def _environment(self) -> dict[str, str]:
        self._measured = self.folder / "measured.sock"
        environment = super()._environment() | {"EKIBEN_WORKERS": "1", SOCKET: str(self._measured)}
        del environment["EKIBEN_LOCAL_CACHE_ENTRIES"]
        self.router_environment = environment
        return environment

    @property
    def controller_environment(self) -> dict[str, str]:
        """What the controller is told, and the command line with it."""
        return {
            **self.router_environment,
            "EKIBEN_DATA_DIR": str(self.controller_data),
            "EKIBEN_CONTROLLER_PORT": str(self.controller_port),
            "EKIBEN_EVENTS_URL": str(self.events),
            "EKIBEN_RECORD_EVERY_S": "1",
            "EKIBEN_ANALYSE_EVERY_S": "1",
            "EKIBEN_ADMIN_TOKEN": TOKEN,
        }


def put_in(url: str, data: Mapping[str, Any]) -> Stored:
    """Replace the document in the Redis at `url`, whatever it is."""
    return asyncio.run(_put(url, data))


def load_from(url: str) -> Stored | None:
    """The document as it stands in the Redis at `url`."""
    return asyncio.run(_load(url))


async def _load(url: str) -> Stored | None:
    store = open_store(url)
    try:
        return await store.load()
    finally:
        await store.close()


async def _put(url: str, data: Mapping[str, Any]) -> Stored:
    document = parse_document(data)
    store = open_store(url)
    try:
        while True:
            held = await store.load()
            if held is not None and held.document == document:
                return held
            with suppress(Conflict):
                return await store.change(held, document, who="attacks", why="another attack")
    finally:
        await store.close()
