"""A controller's acting parts over a real Redis, its API on a real port of loopback, and an object store."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.fs as pafs
import pytest
import uvicorn
from moto.server import ThreadedMotoServer
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Mount

from ekiben.control.acting.editing import Editor
from ekiben.control.analysis.analysing import Analyses
from ekiben.control.api.admin import admin_app
from ekiben.control.auth import Auth
from ekiben.control.desk import Desk
from ekiben.control.recording.files import EventFiles
from ekiben.control.settings import Settings
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.state.connecting import open_state
from ekiben.state.documents.document import Stored
from tests.control import evidence
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit
from tests.waiting import until

TOKEN = "the-admin-token-of-tests"


def document(status: str = "running", **experiment: Any) -> Document:
    """`credit` with an experiment whose metric `profit` decides and whose guardrail is `kept`."""
    metrics = [
        {"name": "profit", "outcome": "profit", "kind": "mean"},
        {"name": "kept", "outcome": "kept", "kind": "mean", "guardrail": {"max_worse": 0.05}},
    ]
    return parse_document(credit(experiment={"status": status, "metrics": metrics, **experiment}))


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass
class Scene:
    """What a test looks at. `forgotten` are the users whose events were to be removed, and were in as many
    files as `removes` says.
    """

    redis: Redis
    desk: Desk
    url: str
    forgotten: list[str] = field(default_factory=list)
    removes: int = 1

    async def put(self, made: Document) -> Stored:
        """Make this the document, and wait until the desk knows it."""
        stored = await self.desk.store.change(await self.desk.store.load(), made, who="test", why="begin")
        await self.desk.look()
        return stored

    async def know(self, stored: Stored, **evidence_of: Any) -> None:
        """Leave a report of `stored` made now, and wait until the desk knows it."""
        await evidence.put_report(self.redis, evidence.report(stored, EXPERIMENT, time.time(), **evidence_of))
        await self.desk.look()

    async def ask(
        self, method: str, path: str, body: Any = None, token: str | None = TOKEN, **headers: str
    ) -> Answer:
        """Send a request to the API, with JSON, or bytes as they are."""
        sent = {"Authorization": f"Bearer {token}"} if token is not None else {}
        data: Any = (
            {"data": io.BytesIO(body)}
            if isinstance(body, bytes)
            else {"json": body}
            if body is not None
            else {}
        )
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=sent | headers, **data) as answer,
        ):
            return Answer(answer.status, answer.headers, await answer.json(content_type=None))

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer.body
        return answer.body

    async def act(self, verb: str, **body: Any) -> Answer:
        return await self.ask("POST", f"/experiments/{EXPERIMENT}/{verb}", {"why": "a reason", **body})


@contextlib.asynccontextmanager
async def scene_over(url: str, folder: Path, host: str = "127.0.0.1") -> AsyncIterator[Scene]:
    """A scene over the Redis at `url`, told to listen on `host` (it listens on loopback all the same)."""
    settings = Settings(state_url=url, host=host, data_dir=folder, admin_token=TOKEN)
    client = open_state(url)
    desk = Desk(settings, client)
    scene = Scene(client, desk, "")

    async def forget(user_id: str) -> Mapping[str, int]:
        scene.forgotten.append(user_id)
        return {"files": scene.removes}

    analyses = Analyses(EventFiles(str(folder / "events")))
    api = admin_app(desk, Editor(desk), Auth.from_settings(settings), forget, analyses.history)
    app = Starlette(routes=[Mount("/api", app=api)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        scene.url = f"http://127.0.0.1:{port}/api"
        yield scene
    finally:
        server.should_exit = True
        await serving
        await client.aclose()


@pytest.fixture
async def scene(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene_over(redis.url, tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """A real S3 API on loopback: the environment that leads to it, with a bucket `events`."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "loopback",
        "AWS_SECRET_ACCESS_KEY": "loopback",
    }
    pafs.S3FileSystem(
        access_key="loopback",
        secret_key="loopback",
        scheme="http",
        endpoint_override=f"127.0.0.1:{port}",
        region="us-east-1",
        allow_bucket_creation=True,
    ).create_dir("events")
    yield environ
    server.stop()
