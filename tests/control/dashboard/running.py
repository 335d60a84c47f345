"""A controller's pages in a process of its own, over a real Redis, filled or empty."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import URLError

import msgspec
from redis.asyncio import Redis

from ekiben.experiments.reports.report import Report
from ekiben.state.connecting import open_state
from ekiben.state.documents.document import DOCUMENT_KEY, DocumentStore, Stored
from tests.control.dashboard.documents import NOTE
from tests.control.dashboard.seeding import seed
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.waiting import PATIENCE_S

TOKEN = "the-admin-token-of-the-tests"
T = TypeVar("T")


@dataclass
class Running:
    """A controller that runs."""

    url: str
    port: int
    redis: RedisServer
    command: list[str]
    environ: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    token: str = TOKEN

    def start(self, token: str = TOKEN) -> None:
        """Start the controller's process and wait until it answers to its admin `token`."""
        self.token = token
        self.environ["EKIBEN_ADMIN_TOKEN"] = token
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=self.environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        until_answers(self)

    def stop(self) -> None:
        """End it."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def report(self, key: str) -> Report:
        """An experiment's report, as the API tells it."""
        return msgspec.json.decode(self.api(f"/experiments/{key}/report"), type=Report)

    def api(self, path: str) -> bytes:
        """What the API answers."""
        request = urllib.request.Request(
            f"{self.url}/api{path}", headers={"Authorization": f"Bearer {self.token}"}
        )
        with urllib.request.urlopen(request) as answer:
            return bytes(answer.read())

    def stored(self) -> Stored:
        """The experiments as they are."""

        async def load(client: Redis) -> Stored | None:
            return await DocumentStore(client).load()

        stored = self.on_redis(load)
        assert stored is not None
        return stored

    def on_redis(self, do: Any) -> Any:
        """Run `do(client)` to its end."""

        async def run() -> Any:
            client = open_state(self.redis.url)
            try:
                return await do(client)
            finally:
                await client.aclose()

        return finish(run())


@contextmanager
def controller(*, filled: bool = True, router: bool = True, **environ: str) -> Iterator[Running]:
    """Start Redis and a controller, and end them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        redis = RedisServer(folder, "state")
        finish(redis.start())
        port = free_port()
        variables = {"EKIBEN_ADMIN_TOKEN": TOKEN, "EKIBEN_NOTE": NOTE, **environ}
        if router:
            variables["EKIBEN_TEST_ROUTER"] = "1"
        arguments = [redis.url, str(port), str(folder / "data")]
        made = Running(
            url=f"http://127.0.0.1:{port}",
            port=port,
            redis=redis,
            command=[sys.executable, "-m", "tests.control.dashboard.server", *arguments],
            environ={**os.environ, **variables},
            log=folder / "controller.log",
        )
        try:
            if filled:
                made.on_redis(lambda client: seed(client, time.time()))
            made.start()
            yield made
        finally:
            made.stop()
            redis.kill()


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread's own loop: Playwright's has taken this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def until_answers(made: Running) -> None:
    """Until the controller answers, and knows its experiments where there are some."""
    filled = made.on_redis(lambda client: client.exists(DOCUMENT_KEY))
    end = time.monotonic() + PATIENCE_S
    while True:
        assert made.process is not None
        assert made.process.poll() is None, made.log.read_text()
        assert time.monotonic() < end, made.log.read_text()
        try:
            if b'"revision":null' not in made.api("/status") or not filled:
                return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.05)
