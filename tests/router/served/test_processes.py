"""The router as it runs: real processes, a real Redis, real services that are killed and hang."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import tempfile
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from ekiben.state.documents.document import DOCUMENT_KEY
from ekiben.state.embedded import EmbeddedRedis
from ekiben.state.streams.blocks import EVENTS_STREAM
from ekiben.state.streams.events import Prediction
from tests.processes import RouterProcess, ServiceProcess, settle
from tests.redis_server import RedisServer
from tests.router.documents import credit
from tests.state.reading import events_in
from tests.waiting import until, until_async

# Long enough that no busy machine reaches them; the tests of time-outs name their own.
TIMEOUT_MS = 20_000


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, ServiceProcess]]:
    """v1 and v2, started once; a test that kills one starts it again."""
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        started = {name: ServiceProcess(name, Path(folder)) for name in ("v1", "v2")}
        try:
            for service in started.values():
                service.start()
            yield started
        finally:
            for service in started.values():
                service.kill()


class Running:
    """A router in processes of its own, its Redis, its experiments file, and a client."""

    def __init__(self, folder: Path, redis: RedisServer, services: Mapping[str, ServiceProcess]) -> None:
        self.folder = folder
        self.redis = redis
        self._endpoints = {name: [service.url] for name, service in services.items()}
        self.router = self.make()
        self._session: aiohttp.ClientSession | None = None

    def make(self, workers: int = 1, **settings: str) -> RouterProcess:
        """A router on this installation, not started yet."""
        settings = {"EKIBEN_CACHE_URL": self.redis.url, "EKIBEN_STATE_URL": self.redis.url} | settings
        self.router = RouterProcess(self.folder, workers, **settings)
        return self.router

    def write(self, **changes: Any) -> None:
        """The experiments file: `credit` on the real services."""
        changed = {"timeout_ms": TIMEOUT_MS} | changes
        data = credit(self._endpoints, changed.pop("experiment", None), **changed)
        draft = self.folder / "draft.yaml"
        draft.write_text(yaml.safe_dump(data, sort_keys=False))
        draft.replace(self.folder / "experiments.yaml")

    async def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))
        return self._session

    async def predict(self, user: str, row: Any, **features: Any) -> tuple[int, dict[str, Any]]:
        """Status and body of a prediction."""
        body = {"user_id": user, "features": {"row": row, **features}}
        session = await self.session()
        headers = {"Authorization": "Bearer the-key-of-it"}  # for routers that have one
        async with session.post(f"{self.router.url}/predict/credit", json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.read())

    async def reaches(self, version: str) -> None:
        """Wait until the router has heard from a version."""

        async def up() -> bool:
            return self.health()["dependencies"].get(f"credit/{version}") == "up"

        await until_async(up)

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.router.url}/healthz", timeout=30) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    def metric(self, pattern: str) -> float:
        """The sum of the samples whose line matches, as one worker tells them for all."""
        with urllib.request.urlopen(f"{self.router.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if re.match(pattern, line))

    async def hang_up(self) -> None:
        """Close the client's connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def close(self) -> None:
        await self.hang_up()
        self.router.kill()


@pytest.fixture
async def running(
    services: dict[str, ServiceProcess], short_folder: Path, redis: RedisServer
) -> AsyncIterator[Running]:
    """Everything but the router is started; every service is well."""
    for service in services.values():
        if not service.running:
            service.start()
        service.mode("well")
    running = Running(short_folder, redis, services)
    running.write()
    yield running
    await running.close()


class Load:
    """Clients that keep asking until they are stopped; everyone knows his row and his version."""

    def __init__(self, running: Running, clients: int = 8) -> None:
        self._running = running
        self._stopping = False
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.wrong: list[object] = []
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(clients)]

    async def _client(self, number: int) -> None:
        row = 0
        while not self._stopping:
            row += 1
            try:
                status, body = await self._running.predict(f"u-{number}-{row % 5}", [number, row])
            except Exception as error:
                self.wrong.append(error)
                return
            self.answers.append((status, body))
            if status != 200 or body["prediction"]["row"] != [number, row]:
                self.wrong.append((status, body))

    async def more(self, answers: int = 100) -> None:
        """Wait for so many more answers."""
        seen = len(self.answers)
        await until(lambda: len(self.answers) >= seen + answers or bool(self.wrong))

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)
        assert self.wrong == []


async def test_users_keep_their_versions_across_restarts_and_worker_counts(running: Running) -> None:
    users = [f"user-{number % 250}" for number in range(1000)]
    rounds = []
    for workers in (1, 3):
        running.make(workers).start()
        await running.reaches("v2")
        answers = await asyncio.gather(*(running.predict(user, n) for n, user in enumerate(users)))
        assert {status for status, _ in answers} == {200}
        rounds.append([body["version"] for _, body in answers])
        # One /metrics for all workers, whichever of them is asked.
        assert {running.metric(r"ekiben_requests_total\{") for _ in range(6)} == {1000}
        assert running.metric(r"ekiben_snapshot_revision\{") == workers  # each at revision 1
        assert running.router.stop() == 0
        await running.hang_up()
    assert rounds[0] == rounds[1]
    versions = dict(zip(users, rounds[0], strict=True))
    assert [versions[user] for user in users] == rounds[0], "a user saw two versions"
    assert Counter(versions.values())["v2"] > 75


async def test_when_the_treatment_is_killed_everyone_gets_200_and_when_live_is_too_502(
    running: Running, services: dict[str, ServiceProcess]
) -> None:
    running.make().start()
    await running.reaches("v2")
    load = Load(running)
    await load.more()
    services["v2"].kill()
    await load.more(300)
    services["v2"].start()
    await load.more()
    await load.stop()
    fallbacks = [body for _, body in load.answers if "fallback_from" in body]
    assert fallbacks
    assert all((body["version"], body["fallback_from"]) == ("v1", "v2") for body in fallbacks)
    assert any(body["version"] == "v2" for _, body in load.answers)

    services["v1"].kill()
    status, problem = await running.predict("u-control", "new")
    assert (status, problem["status"]) == (502, 502)


@pytest.mark.parametrize("mode", ["error", "garbage", "short", "cut"])
async def test_a_treatment_that_answers_wrongly_is_replaced_by_live(
    running: Running, services: dict[str, ServiceProcess], mode: str
) -> None:
    running.make().start()
    await running.reaches("v2")
    services["v2"].mode(mode)
    for row in range(10):
        status, body = await running.predict("u-treatment", row)
        assert (status, body["version"], body["fallback_from"]) == (200, "v1", "v2")
        assert body["prediction"]["row"] == row


async def test_services_that_hang_cost_the_deadline_and_no_more(
    running: Running, services: dict[str, ServiceProcess]
) -> None:
    running.write(timeout_ms=1000)
    running.make().start()
    await running.reaches("v2")
    services["v2"].pause()
    try:
        status, body = await running.predict("u-treatment", 1)
        assert (status, body.get("fallback_from")) == (200, "v2")
        services["v1"].pause()
        loop = asyncio.get_running_loop()
        began = loop.time()
        status, _ = await running.predict("u-control", 2)
        assert status == 504
        assert 0.9 < loop.time() - began < 5
    finally:
        for service in services.values():
            service.resume()


async def test_an_edit_is_applied_to_running_workers_without_dropping_a_request(running: Running) -> None:
    with EmbeddedRedis(running.folder / "data") as own:
        running.make(2, EKIBEN_STATE_URL=own.addresses.state_url).start()
        load = Load(running)
        await load.more()
        for revision, percent in enumerate((20, 10), start=2):
            running.write(experiment={"coverage": percent})

            async def applied(revision: int = revision) -> bool:
                return running.metric(r"ekiben_snapshot_revision\{") == 2 * revision

            await until_async(applied)
            await load.more()
        (running.folder / "experiments.yaml").write_text("models: {credit: {live: nothing}}")
        await until(lambda: "experiments.yaml is not applied" in running.router.log.read_text())
        await until(lambda: "is missing" in running.health()["experiments_file"]["lines"][0])  # either worker
        await until(lambda: running.metric(r"ekiben_experiments_file_refused") == 1)
        await load.more()
        assert running.metric(r"ekiben_snapshot_revision\{") == 2 * 3
        await load.stop()
        running.router.stop()


async def test_a_router_on_a_redis_that_is_not_its_own_leaves_the_file_alone(running: Running) -> None:
    running.make().start()
    running.write(experiment={"coverage": 10})
    settle(running.folder / "experiments.yaml")
    running.router.stop()
    running.make().start()
    await running.reaches("v2")
    assert running.health()["revision"] == 1
    async with running.redis.client() as client:
        assert b"coverage" not in (await client.hgetall(DOCUMENT_KEY))[b"document"]


async def test_redis_is_killed_and_comes_back_empty_and_nobody_notices(running: Running) -> None:
    running.make(2).start()
    load = Load(running)
    await load.more()
    before = running.health()
    running.redis.kill()
    await load.more(300)
    assert running.health()["dependencies"]["state"] == "down"
    await running.redis.start()

    async def refilled() -> bool:
        async with running.redis.client() as client:
            held = await client.hgetall(DOCUMENT_KEY)
        return held.get(b"lineage", b"").decode() == before["lineage"] and held[b"revision"] == b"1"

    await until_async(refilled)

    async def recorded() -> bool:
        async with running.redis.client() as client:
            return bool(await client.xlen(EVENTS_STREAM))

    await until_async(recorded)
    await load.more()
    await load.stop()
    # What was served while Redis was away has been kept for it, and nothing was dropped.
    assigned = sum(body["variant"] is not None for _, body in load.answers)

    async def all_sent() -> bool:
        return running.metric(r"ekiben_events_sent_total") >= assigned

    await until_async(all_sent)
    assert running.metric(r"ekiben_events_dropped_total") == 0


async def test_redis_hangs_and_nobody_notices(running: Running) -> None:
    running.make().start()
    load = Load(running)
    await load.more()
    running.redis.pause()
    await load.more(300)
    running.redis.resume()
    await load.more()
    await load.stop()
    assert running.metric(r"ekiben_cache_failures_total\{what=\"timeout\"") > 0


async def test_a_router_starts_from_its_copy_while_redis_is_away(running: Running) -> None:
    running.make().start()
    before = running.health()
    running.router.stop()
    running.redis.kill()
    (running.folder / "experiments.yaml").unlink()
    running.make(2).start()
    health = running.health()
    assert (health["lineage"], health["revision"]) == (before["lineage"], before["revision"])
    status, body = await running.predict("u-control", 1)
    assert (status, body["version"]) == (200, "v1")


async def test_clients_that_leave_or_send_rubbish_cost_nobody_anything(running: Running) -> None:
    running.make().start()
    load = Load(running)
    await load.more(20)
    bodies = [
        b'{"features":{"a":1e999}}',
        b'{"features":{"a":' + b"9" * 5000 + b"}}",
        b'{"features":{"a":"\xff"}}',
        b'{"features":{"a":' + b"[" * 900 + b"]" * 900 + b"}}",
        b'{"features":{"a":NaN}}',
    ]
    head = b"POST /predict/credit HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n"
    for _ in range(3):
        for body in bodies:
            request = (head + b"Connection: close\r\n\r\n") % len(body) + body
            answer = await asyncio.to_thread(running.router.raw, request)
            assert answer.startswith(b"HTTP/1.1 400 "), answer
            assert b"application/problem+json" in answer
            # And one that asks, and is gone before it is answered.
            _, writer = await asyncio.open_connection("127.0.0.1", running.router.port)
            good = b'{"features":{"row":"gone"}}'
            writer.write((head + b"\r\n") % len(good) + good)
            await writer.drain()
            writer.transport.abort()
    await load.more()
    await load.stop()


async def test_methods_and_sizes_over_real_connections(running: Running) -> None:
    running.make(EKIBEN_MAX_BODY_BYTES="2048").start()
    close = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"

    def status(data: bytes) -> bytes:
        return running.router.raw(data).split(b"\r\n", 1)[0]

    chunk = b"400\r\n" + b" " * 1024 + b"\r\n"
    chunked = b"POST /predict/credit HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + close
    assert b" 413 " in await asyncio.to_thread(status, chunked + chunk * 3 + b"0\r\n\r\n")
    long = b"POST /predict/credit HTTP/1.1\r\nContent-Length: 4096\r\n" + close
    assert b" 413 " in await asyncio.to_thread(status, long + b" " * 4096)
    head = await asyncio.to_thread(running.router.raw, b"HEAD /livez HTTP/1.1\r\n" + close)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert head.endswith(b"\r\n\r\n"), "a HEAD with a body"
    assert b" 405 " in await asyncio.to_thread(status, b"GET /predict/credit HTTP/1.1\r\n" + close)
    good = chunked + b'b\r\n{"features"\r\n4\r\n:{}}\r\n0\r\n\r\n'
    assert b" 200 " in await asyncio.to_thread(status, good)


async def test_a_router_told_to_stop_answers_what_is_in_flight(
    running: Running, services: dict[str, ServiceProcess]
) -> None:
    running.make(2, EKIBEN_API_KEYS="the-key-of-it").start()
    await running.reaches("v1")
    services["v1"].pause()
    asked = [asyncio.create_task(running.predict("u-control", row)) for row in range(20)]
    # Counted at the door: none waits in a connection that nobody has accepted yet.
    await until(lambda: running.metric(r"ekiben_key_requests_total") == 20)
    running.router.signal(signal.SIGTERM)
    services["v1"].resume()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    served = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(served) == 20, answers
    assert {status for status, _ in served} == {200}
    await until(lambda: not running.router.running)


async def test_the_log_never_holds_users_features_or_answers(running: Running) -> None:
    running.make(EKIBEN_LOG_LEVEL="debug").start()
    await running.predict("somebody@example.com", "a secret feature")
    await running.predict("somebody@example.com", "a secret feature", refuse=True)
    running.router.stop()
    log = running.router.log.read_text()
    assert log
    for secret in ("somebody@example.com", "a secret feature"):
        assert secret not in log
    for line in log.splitlines():
        assert {"at", "level", "message"} <= json.loads(line).keys()


def test_a_setting_that_cannot_be_used_is_one_line_and_exit_code_2(short_folder: Path) -> None:
    for settings, says in (
        ({"EKIBEN_WORKERS": "many"}, "EKIBEN_WORKERS"),
        ({"EKIBEN_HOST": "0.0.0.0"}, "EKIBEN_USER_SALT"),
        ({"EKIBEN_API_KEYS": "a-secret:nothing"}, "EKIBEN_API_KEYS"),
        ({"EKIBEN_API_KEYS": "short"}, "EKIBEN_API_KEYS"),
        ({"EKIBEN_USER_SALT": "s"}, "EKIBEN_USER_SALT"),
    ):
        router = RouterProcess(short_folder, **settings)
        router.log.unlink(missing_ok=True)
        RouterProcess.__mro__[1].start(router)
        assert router._process is not None
        assert router._process.wait(30) == 2
        (line,) = router.log.read_text().splitlines()
        assert line.startswith("router: ")
        assert says in line
        assert "secret" not in line


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_workers_whose_parent_was_killed_stop_too(running: Running) -> None:
    running.make(2).start()
    running.router.signal(signal.SIGKILL)
    await until(lambda: not running.router.running)
    await until(lambda: _is_free(running.router.port))


async def test_a_dead_workers_revision_is_no_longer_shown(running: Running) -> None:
    running.make(2).start()

    def workers() -> set[str]:
        with urllib.request.urlopen(f"{running.router.url}/metrics", timeout=30) as answer:
            return set(re.findall(r'ekiben_snapshot_revision\{pid="(\d+)"', answer.read().decode()))

    await until(lambda: len(workers()) == 2)
    killed = min(workers())
    os.kill(int(killed), signal.SIGKILL)
    await until(lambda: len(workers()) == 2 and killed not in workers())


async def test_two_workers_capture_what_the_installation_may_in_every_second_together(
    running: Running,
) -> None:
    running.write(capture={"per_second": 3, "scores_per_second": 20})
    running.make(2).start()
    load = Load(running)
    budgets = {"features": 3, "scores": 20}

    async def rows() -> dict[str, list[Prediction]]:
        async with running.redis.client() as client:
            events = events_in(await client.xrange(EVENTS_STREAM))
        found = [each for each in events if type(each) is Prediction]
        return {depth: [row for row in found if row.depth == depth] for depth in budgets}

    async def captured() -> bool:
        """Whether both samples have some seconds: the workers have agreed on who beats."""
        await load.more(20)
        return all(len({int(row.at) for row in each}) > 3 for each in (await rows()).values())

    async def counted() -> bool:
        """Whether the weights of both samples are all requests, once the last second is over and sent."""
        more = await asyncio.gather(*(running.predict(f"u-{number}", [number, 0]) for number in range(16)))
        load.answers.extend(more)
        await asyncio.sleep(1.5)
        weights = [sum(row.weight or 0 for row in each) for each in (await rows()).values()]
        return weights == pytest.approx([len(load.answers)] * 2)

    await until_async(captured)
    await load.stop()
    await until_async(counted)
    for depth, each in (await rows()).items():
        assert max(Counter(int(row.at) for row in each).values()) <= budgets[depth]
