"""A real installation under a real Prometheus: two BentoML services, a router of two workers, a controller,
both Redis. Everything listens on loopback.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from ekiben.client import AsyncClient, Refused
from tests.ports import free_port
from tests.processes import ROOT, Process, RouterProcess
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE_S

VERSIONS: Final = ("v1", "v2")
EXPERIMENT: Final = "boosting"
RULES: Final = ROOT / "deploy" / "prometheus" / "rules.yaml"
_USERS: Final = 240
_AT_ONCE: Final = 8


class Station:
    """Starts and ends everything, with the models in `home`.

    `folder` has a short path: a unix socket's has at most 107 bytes.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in (*VERSIONS, "controller", "prometheus")}
        self._bentoml = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}
        self.redis = {
            "state": RedisServer(folder, "state", "--appendonly", "yes", "--appendfsync", "always"),
            "cache": RedisServer(folder, "cache"),
        }
        told = {"EKIBEN_STATE_URL": self.redis["state"].url, "EKIBEN_USER_SALT": "salt of the station"}
        self.router = RouterProcess(folder, 2, EKIBEN_CACHE_URL=self.redis["cache"].url, **told)
        self.ports["router"] = self.router.port
        self._controller = Process(
            "controller",
            folder,
            ["-m", "ekiben.control"],
            {
                **told,
                "EKIBEN_CONTROLLER_PORT": str(self.ports["controller"]),
                "EKIBEN_DATA_DIR": str(folder / "controller"),
                "EKIBEN_RECORD_EVERY_S": "1",
                "EKIBEN_ANALYSE_EVERY_S": "1",
            },
        )
        self.services = {
            version: Process(f"service-{version}", folder, self._serve(version), self._bentoml)
            for version in VERSIONS
        }
        self._prometheus: subprocess.Popen[bytes] | None = None

    def _serve(self, version: str) -> list[str]:
        module = f"services.credit.{version}:Credit{version.upper()}"
        return ["-m", "bentoml", "serve", module, "--host", "127.0.0.1", "--port", str(self.ports[version])]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self) -> None:
        """Everything, as far as possible at once."""
        for redis in self.redis.values():
            redis.spawn()
        (self.folder / "experiments.yaml").write_text(yaml.safe_dump(self._experiments()))
        self._controller.start()
        self._start_prometheus()
        for service in self.services.values():
            service.start()
        for version, service in self.services.items():
            service.wait_for(f"{self.url(version)}/readyz")
        self.router.start()
        self._controller.wait_for(f"{self.url('controller')}/readyz")

    def _experiments(self) -> dict[str, Any]:
        return {
            "models": {
                "credit": {
                    "live": "v1",
                    "timeout_ms": 10_000,
                    "versions": {version: {"endpoints": [self.url(version)]} for version in VERSIONS},
                    "shadow": {"v2": 100},
                }
            },
            "experiments": {
                EXPERIMENT: {
                    "model": "credit",
                    "status": "running",
                    "variants": {
                        "control": {"version": "v1", "weight": 50},
                        "treatment": {"version": "v2", "weight": 50},
                    },
                    "metrics": [{"name": "bad", "outcome": "bad", "kind": "label", "window_hours": 0.001}],
                }
            },
        }

    def _start_prometheus(self) -> None:
        def job(name: str, *targets: str) -> dict[str, Any]:
            addresses = [f"127.0.0.1:{self.ports[target]}" for target in targets]
            return {"job_name": name, "static_configs": [{"targets": addresses}]}

        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                job("router", "router"), job("controller", "controller"), job("version", *VERSIONS)
            ],
        }  # fmt: skip
        file = self.folder / "prometheus.yaml"
        file.write_text(yaml.safe_dump(config))
        binary = shutil.which("prometheus")
        assert binary is not None
        with (self.folder / "prometheus.log").open("wb") as log:
            self._prometheus = subprocess.Popen(
                [
                    binary,
                    f"--config.file={file}",
                    f"--storage.tsdb.path={self.folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        """End what runs."""
        if self._prometheus is not None:
            self._prometheus.kill()
            self._prometheus.wait()
        for version in self.services:
            self.stop_service(version)
        for process in (self.router, self._controller):
            process.kill()
        for redis in self.redis.values():
            redis.kill()

    def stop_service(self, version: str) -> None:
        """End a service by asking it to: its worker is in a session of its own and would outlive a kill."""
        if self.services[version].running:
            self.services[version].stop()

    def metrics(self, name: str) -> str:
        """What a process exposes."""
        with urllib.request.urlopen(f"{self.url(name)}/metrics", timeout=PATIENCE_S) as answer:
            text: str = answer.read().decode()
            return text

    def query(self, promql: str) -> list[dict[str, Any]]:
        """What Prometheus answers now. Raises for a query that it does not understand."""
        asked = urllib.parse.urlencode({"query": promql})
        with urllib.request.urlopen(f"{self.url('prometheus')}/api/v1/query?{asked}", timeout=10) as answer:
            body = json.load(answer)
        found: list[dict[str, Any]] = body["data"]["result"]
        return found

    def until(self, promql: str) -> list[dict[str, Any]]:
        """Wait until the query has an answer, and return it."""
        return wait_until(lambda: self.query(promql), promql)

    def predict(self, user_id: str) -> int:
        """The status of one prediction."""
        line = (ROOT / "training" / "data" / "held_out.jsonl").read_text().splitlines()[-1]
        body = json.dumps({"user_id": user_id, "features": json.loads(line)["features"]}).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.router.url}/predict/credit", body, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return int(answer.status)

    def send(self, times: int = 1, fresh: bool = False) -> None:
        """Requests of every user, so many times, each followed by its outcome; a few that are refused.

        `fresh` ones look nothing up in the cache.
        """
        asyncio.run(self._send(times, fresh))

    async def _send(self, times: int, fresh: bool) -> None:
        lines = (ROOT / "training" / "data" / "held_out.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines[:_USERS]]
        for version in VERSIONS if not fresh else ():
            await self._predict_directly(version, rows[0]["features"])
        limit = asyncio.Semaphore(_AT_ONCE)
        async with AsyncClient(self.router.url, timeout=PATIENCE_S) as client:

            async def one(user: int, row: dict[str, Any]) -> None:
                async with limit:
                    told = await client.predict("credit", f"u-{user}", row["features"], fresh=fresh)
                    bad = float(row["status"] == "bad")
                    await client.outcome("bad", bad, prediction_id=told.prediction_id)

            for _ in range(times):
                await asyncio.gather(*(one(user, row) for user, row in enumerate(rows)))
                for refused in (
                    client.predict("credit", None, {"age": "old"}),
                    client.outcome("bad", 1.0),
                ):
                    with pytest.raises(Refused):
                        await refused

    async def _predict_directly(self, version: str, features: dict[str, Any]) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url(version)}/predict", json={"instances": [features]}) as answer,
        ):
            assert answer.status == 200, await answer.text()


def wait_until(what: Callable[[], Any], name: str, within_s: float = 2 * PATIENCE_S) -> Any:
    """Wait until `what` is true and return it."""
    end = time.monotonic() + within_s
    while True:
        try:
            if found := what():
                return found
        except OSError:
            pass  # Prometheus is still starting
        assert time.monotonic() < end, f"it never came true: {name}"
        time.sleep(0.2)
