"""Two ordinary BentoML services, unchanged, behind the router: from 12 lines of YAML to a verdict."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from ekiben.experiments.parsing import parse_document
from tests.ports import free_port
from tests.processes import Process, RouterProcess
from tests.redis_server import RedisServer
from tests.waiting import until

USERS: Final = 3_000
_AT_ONCE: Final = 64
SERVICES: Final = "loadtests.bench.ordinary.services"

# All that a user writes for the two services and an experiment on them.
EXPERIMENTS: Final = """
models:
  sentiment:
    live: v1
    versions:
      v1: {endpoints: ["ONE"], output: {score: positive, decision: label}, dialect: {kind: bentoml,
           path: /classify, argument: text, feature: text, rows: single, concurrency: 16}}
      v2: {endpoints: ["MANY"], output: {score: positive, decision: label},
           dialect: {kind: bentoml, path: /classify, argument: texts, feature: text}}
experiments:
  batchable: {model: sentiment, status: running, metrics: [{name: bought, outcome: bought,
      kind: proportion}, {name: liked, outcome: liked, kind: label}],
      variants: {control: {version: v1, weight: 50}, treatment: {version: v2, weight: 50}}}
"""


def document(one: str, many: str) -> dict[str, Any]:
    """The file for services at these URLs, so that the verdict takes seconds and not days."""
    made: dict[str, Any] = yaml.safe_load(EXPERIMENTS.replace("ONE", one).replace("MANY", many))
    made["models"]["sentiment"]["timeout_ms"] = 10_000  # a busy machine is slow
    experiment = made["experiments"]["batchable"]
    experiment["min_days"] = 0
    for metric in experiment["metrics"]:
        metric["window_hours"] = 0.0001
    return made


class Installation:
    """The two services, a router, a controller and their Redis."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("OneRow", "Batchable", "controller")}
        self.redis = RedisServer(folder, "state", "--appendonly", "yes", "--appendfsync", "always")
        told = {"EKIBEN_STATE_URL": self.redis.url, "EKIBEN_USER_SALT": "salt of the test"}
        self.router = RouterProcess(folder, 1, EKIBEN_CACHE_URL=self.redis.url, **told)
        self.services = [
            Process(name, folder, self._serve(name), {"BENTOML_DO_NOT_TRACK": "true"})
            for name in ("OneRow", "Batchable")
        ]
        often = {"EKIBEN_RECORD_EVERY_S": "1", "EKIBEN_ANALYSE_EVERY_S": "1"}
        port = {"EKIBEN_CONTROLLER_PORT": str(self.ports["controller"])}
        data = {"EKIBEN_DATA_DIR": str(folder / "controller")}
        self.controller = Process("controller", folder, ["-m", "ekiben.control"], told | often | port | data)

    def _serve(self, name: str) -> list[str]:
        at = ["--host", "127.0.0.1", "--port", str(self.ports[name])]
        return ["-m", "bentoml", "serve", f"{SERVICES}:{name}", *at]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def start(self) -> None:
        self.redis.spawn()
        written = yaml.safe_dump(document(self.url("OneRow"), self.url("Batchable")))
        (self.folder / "experiments.yaml").write_text(written)
        for service in self.services:
            service.start()
        self.controller.start()
        for name, service in zip(("OneRow", "Batchable"), self.services, strict=True):
            service.wait_for(f"{self.url(name)}/readyz")
        self.router.start()
        self.controller.wait_for(f"{self.url('controller')}/readyz")

    def stop(self) -> None:
        for service in self.services:
            if service.running:
                service.stop()
        self.router.kill()
        self.controller.kill()
        self.redis.kill()

    def report(self) -> dict[str, Any]:
        """The controller's last report."""
        url = f"{self.url('controller')}/api/experiments/batchable/report"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("ordinary"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
async def session(installation: Installation) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=_AT_ONCE)
    async with aiohttp.ClientSession(installation.router.url, connector=connector) as opened:
        yield opened


async def predict(session: aiohttp.ClientSession, user: str | None, features: Any) -> tuple[int, Any]:
    body = {"features": features} | ({} if user is None else {"user_id": user})
    async with session.post("/predict/sentiment", json=body) as answer:
        return answer.status, await answer.json()


def test_it_takes_twelve_lines() -> None:
    assert len(EXPERIMENTS.strip().splitlines()) <= 12
    parse_document(yaml.safe_load(EXPERIMENTS.replace("ONE", "http://a:1").replace("MANY", "http://b:1")))


async def test_answers_are_the_services_own(session: aiohttp.ClientSession) -> None:
    status, answer = await predict(session, None, {"text": "a great film"})
    assert status == 200, answer
    assert answer["prediction"] == {"label": "positive", "positive": pytest.approx(0.8808, abs=1e-4)}
    assert answer["model_version"].startswith("sentiment_one+")
    status, again = await predict(session, None, {"text": "a great film"})
    assert (status, again["cached"]) == (200, True)


async def test_what_a_service_refuses_is_422_and_names_the_feature(session: aiohttp.ClientSession) -> None:
    async def one(user: int) -> tuple[int, Any]:
        return await predict(session, f"u-{user}", {"text": user if user % 8 == 0 else f"good {user}"})

    for user, (status, answer) in enumerate(await asyncio.gather(*map(one, range(128)))):
        if user % 8:
            assert (status, answer["prediction"]["label"]) == (200, "positive"), answer
        else:
            assert status == 422, answer
            assert answer["errors"] == [{"loc": ["text"], "msg": "Input should be a valid string"}]
    status, answer = await predict(session, None, {"title": "no text"})
    assert (status, answer["errors"][0]["loc"]) == (422, ["text"])


async def test_the_experiment_has_a_verdict(
    session: aiohttp.ClientSession, installation: Installation
) -> None:
    limit = asyncio.Semaphore(_AT_ONCE)
    variants: dict[str, int] = {}

    async def visit(user: int) -> list[dict[str, Any]]:
        async with limit:
            status, answer = await predict(session, f"user-{user}", {"text": f"good film number {user}"})
        assert status == 200, answer
        variant, prediction = answer["variant"], answer["prediction_id"]
        variants[variant] = variants.get(variant, 0) + 1
        # Of those whom the batchable service answers twice as many buy.
        bought = user % 10 < (2 if variant == "control" else 4)
        said = {"prediction_id": prediction, "at": datetime.now(UTC).isoformat()}
        return [
            {**said, "name": "bought", "value": float(bought), "id": f"b-{user}"},
            {**said, "name": "liked", "value": float(user % 3 > 0), "id": f"l-{user}"},
        ]

    outcomes = [each for pair in await asyncio.gather(*map(visit, range(USERS))) for each in pair]
    assert set(variants) == {"control", "treatment"}
    for start in range(0, len(outcomes), 1000):
        async with session.post("/outcomes", json={"outcomes": outcomes[start : start + 1000]}) as answer:
            assert answer.status == 202, await answer.text()

    def promotes() -> bool:
        return bool(installation.report()["verdict"]["decision"] == "promote")

    await until(promotes)
    report = installation.report()
    (_, liked) = report["metrics"][:2]
    assert report["verdict"]["variant"] == "treatment"
    users = {each["variant"]: each["users"] for each in report["variants"]}
    assert all(0 <= users[name] - variants[name] <= 128 for name in variants)  # the 128 of the test before
    assert liked["name"] == "liked"
    assert not report["redeployments"]
