"""A controller's pages in a process of its own, over a real Redis, filled or empty."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError

from redis.asyncio import Redis

from state.document import DocumentStore, Stored, open_state
from tests.dashboard.documents import NOTE
from tests.dashboard.seeding import seed
from tests.router.redis_server import RedisServer

TOKEN = "the-admin-token-of-the-tests"
T = TypeVar("T")


@dataclass
class Running:
    """A controller that runs."""

    url: str
    port: int
    redis: RedisServer

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
        made = Running("", _free_port(), redis)
        made.url = f"http://127.0.0.1:{made.port}"
        if filled:
            made.on_redis(lambda client: seed(client, time.time()))
        variables = {"EKIBEN_ADMIN_TOKEN": TOKEN, "EKIBEN_NOTE": NOTE, **environ}
        if router:
            variables["EKIBEN_TEST_ROUTER"] = "1"
        log = folder / "controller.log"
        command = [
            sys.executable,
            "-m",
            "tests.dashboard.server",
            redis.url,
            str(made.port),
            str(folder / "data"),
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            _wait(made.url, process, log, filled=filled)
            yield made
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            redis.kill()


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread's own loop: Playwright's has taken this one."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, *, filled: bool) -> None:
    """Until it answers, and knows its experiments."""
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            with urllib.request.urlopen(f"{url}/login") as answer:
                assert answer.status == 200
            if not filled or b'"revision":null' not in _status(url):
                return
        except HTTPError as error:
            if error.code in (401, 421):
                return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.05)


def _status(url: str) -> bytes:
    request = urllib.request.Request(f"{url}/api/status", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as answer:
        return bytes(answer.read())


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
