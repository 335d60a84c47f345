"""Everything that a fault can hit: two Redis, three model services, and a router of two workers."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import yaml

from tests.ports import free_port
from tests.proofs.faults.answers import LIVE, TREATMENT
from tests.proofs.faults.processes import (
    Process,
    RedisServer,
    command_of,
    http_get,
    is_alive,
    wait_until,
)  # fmt: skip

SERVED_BY: Final = {"live-a": LIVE, "live-b": LIVE, "treatment": TREATMENT}
"""Which version each service is."""
EXPERIMENT: Final = "faults"
TIMEOUT_MS: Final = 1000
DRAIN_S: Final = 1
GRACE_S: Final = 20
WORKERS: Final = 2


def document(
    ports: Mapping[str, int],
    coverage: float = 100.0,
    timeout_ms: int = TIMEOUT_MS,
    treatment: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Live on two endpoints, the treatment on one, half of everyone each; `treatment` has more keys of it."""
    url = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    versions = {
        LIVE: {"endpoints": [url["live-a"], url["live-b"]]},
        TREATMENT: {"endpoints": [url["treatment"]], **(treatment or {})},
    }
    variants = {
        "control": {"version": LIVE, "weight": 50},
        "treatment": {"version": TREATMENT, "weight": 50},
    }
    return {
        "models": {"credit": {"live": LIVE, "timeout_ms": timeout_ms, "versions": versions}},
        "experiments": {
            EXPERIMENT: {
                "model": "credit",
                "status": "running",
                "coverage": coverage,
                "variants": variants,
            }
        },
    }


class Service(Process):
    """One endpoint: `tests.proofs.faults.service`, or another module like it, which fails on demand."""

    def __init__(
        self, name: str, version: str, port: int, logs: Path, module: str = "tests.proofs.faults.service"
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", module, version, str(port)]
        super().__init__(name, command, logs, lambda: http_get(f"{self.url}/model/info") == 200)

    def misbehave(self, way: str) -> None:
        """Fail in this way from the next call on; an empty one is to behave."""
        request = urllib.request.Request(f"{self.url}/misbehave", data=way.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10.0):
            pass


class Station:
    """The processes, started with the block and ended with it. Logs are kept when something went wrong."""

    worker_count = WORKERS
    treatment: Mapping[str, Any] = MappingProxyType({})
    """More keys of the treatment's version in the document."""

    def __init__(self, timeout_ms: int = TIMEOUT_MS) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ekiben-faults-"))
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        self.port = free_port()
        self.service_ports = {name: free_port() for name in SERVED_BY}
        self.url = f"http://127.0.0.1:{self.port}"
        self.timeout_s = timeout_ms / 1000
        self.data = self.folder / "data"
        self.experiments = self.folder / "experiments.yaml"
        self.panic_file = self.folder / "panic"
        self.cache = RedisServer(
            "cache",
            self.folder,
            self.logs,
            ["--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"],
        )
        self.state = RedisServer(
            "state",
            self.folder,
            self.logs,
            ["--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"],
        )
        self.services = self._services()
        self.router = Process(
            "router",
            self._command(),
            self.logs,
            lambda: http_get(f"{self.url}/readyz") == 200,
            self._environment(),
            open_files=1024,  # what a login shell gives
        )
        self.experiments.write_text(
            yaml.safe_dump(document(self.service_ports, timeout_ms=timeout_ms, treatment=self.treatment))
        )
        self.keep = False

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "router"]

    def _services(self) -> dict[str, Process]:
        return {
            name: Service(name, SERVED_BY[name], port, self.logs) for name, port in self.service_ports.items()
        }

    def _environment(self) -> dict[str, str]:
        others = {
            name: value
            for name, value in os.environ.items()
            if name != "REDIS_URL" and not name.startswith("EKIBEN_")
        }
        return {
            **others,
            "EKIBEN_PORT": str(self.port),
            "EKIBEN_WORKERS": str(self.worker_count),
            "EKIBEN_DATA_DIR": str(self.data),
            "EKIBEN_EXPERIMENTS_FILE": str(self.experiments),
            "EKIBEN_PANIC_FILE": str(self.panic_file),
            "EKIBEN_CACHE_URL": self.cache.url,
            "EKIBEN_STATE_URL": self.state.url,
            "EKIBEN_USER_SALT": secrets.token_hex(8),
            "EKIBEN_DRAIN_S": str(DRAIN_S),
            "EKIBEN_SHUTDOWN_GRACE_S": str(GRACE_S),
            # So few that most repeats come from Redis: its faults are to be seen.
            "EKIBEN_LOCAL_CACHE_ENTRIES": "8",
        }

    def service(self, name: str) -> Service:
        """The endpoint of that name: `live-a`, `live-b` or `treatment`."""
        found = self.services[name]
        assert isinstance(found, Service)
        return found

    @property
    def everything(self) -> list[Process]:
        """All processes, in the order in which they start."""
        return [self.cache, self.state, *self.services.values(), self.router]

    def workers(self) -> list[int]:
        """The pids of the router's workers."""
        return [pid for pid in self.router.family() if "spawn_main" in command_of(pid)]

    def start(self) -> None:
        """Start everything that does not run and wait until all of it answers. Raises `DidNotStart`."""
        waiting = [each for each in self.everything if not each.runs]
        for each in waiting:
            if each is not self.router:
                each.spawn()
        for each in waiting:
            if each is self.router:
                each.spawn()
            each.wait_until_ready()
        wait_until(lambda: len(self.workers()) == self.worker_count, "the router has not all of its workers")

    def kill_worker(self) -> int:
        """Kill one of the router's workers and return its pid."""
        pid = self.workers()[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def worker_replaced(self, pid: int) -> bool:
        """Whether the killed worker is gone and another one is in its place."""
        return not is_alive(pid) and len(self.workers()) == self.worker_count

    def end(self) -> None:
        """End every process, by pid, and remove the folder unless it is to be kept."""
        for each in reversed(self.everything):
            each.go_on()
        for each in reversed(self.everything):
            with contextlib.suppress(Exception):
                each.terminate(GRACE_S + 5.0 if each is self.router else 5.0)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.keep = True
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
