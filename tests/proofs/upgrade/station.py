"""An installation whose routers and controllers are of 30e8d9b or of this release, over one Redis."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import yaml
from redis.asyncio import Redis

from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.streams import STREAMS
from tests.ports import free_port
from tests.processes import ROOT, Process, RouterProcess, ServiceProcess
from tests.redis_server import RedisServer
from tests.router.documents import credit

SALT: Final = "the salt of the upgrade"
_RECORDED_WITHIN_S: Final = 60.0


class Station:
    """`former` is a checkout of 30e8d9b. A context manager: whatever it has started has ended after it."""

    def __init__(self, folder: Path, former: Path) -> None:
        self._folder = folder
        self._roots = {"former": former, "here": ROOT}
        self._started: list[Process] = []
        self.state = RedisServer(folder, "state", "--appendonly", "yes", "--appendfsync", "always")

    def __enter__(self) -> Station:
        self.state.spawn()
        urls = {version: [self._service(version)] for version in ("v1", "v2", "v3")}
        text = yaml.safe_dump(credit(urls, shadow={"v3": 100}), sort_keys=False)
        (self._folder / "experiments.yaml").write_text(text)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._started):
            process.kill()
        self.state.kill()

    def router(self, release: str) -> RouterProcess:
        """A router, started and ready; `release` is "former" or "here"."""
        folder = self._made(f"router-{release}")
        (folder / "experiments.yaml").write_text((self._folder / "experiments.yaml").read_text())
        return self._run(RouterProcess(folder, EKIBEN_CAPTURE_PERCENT="50", **self._environ(release)))

    def controller(self, release: str) -> Process:
        """A controller, started and answering."""
        port = free_port()
        environ = self._environ(release) | {
            "EKIBEN_CONTROLLER_PORT": str(port),
            "EKIBEN_DATA_DIR": str(self._made(f"controller-{release}")),
            "EKIBEN_EVENTS_URL": str(self._folder / "events"),
            "EKIBEN_RECORD_EVERY_S": "1",
        }
        module = {"former": "control", "here": "ekiben.control"}[release]
        started = Process(f"controller-{release}", self._folder, ["-m", module], environ)
        self._run(started).wait_for(f"http://127.0.0.1:{port}/healthz")
        return started

    @property
    def files(self) -> EventFiles:
        """What is recorded."""
        return EventFiles(str(self._folder / "events"))

    async def drained(self, redis: Redis) -> None:
        """Return when nothing is left in any stream of either release."""
        end = time.monotonic() + _RECORDED_WITHIN_S
        while any([await redis.xlen(stream.key) for stream in STREAMS]):
            assert time.monotonic() < end, "not recorded in time"
            await asyncio.sleep(0.2)

    def recorded(self) -> dict[str, list[Any]]:
        """The `event_id` of every event, by kind; of outcomes the values, which are the clients' numbers."""
        columns = {"exposure": "event_id", "shadow": "event_id", "outcome": "value"}
        with DuckDBTables(self.files) as tables:
            return {
                kind: [row[column] for row in tables.rows(tables.of(kind).select(column))]
                for kind, column in columns.items()
            }

    def _service(self, version: str) -> str:
        return self._run(ServiceProcess(version, self._folder)).url

    def _environ(self, release: str) -> dict[str, str]:
        return {
            "PYTHONPATH": str(self._roots[release]),
            "EKIBEN_STATE_URL": self.state.url,
            "EKIBEN_CACHE_URL": self.state.url,
            "EKIBEN_USER_SALT": SALT,
        }

    def _made(self, name: str) -> Path:
        (self._folder / name).mkdir()
        return self._folder / name

    def _run(self, process: Any) -> Any:
        self._started.append(process)
        process.start()
        return process
