"""A real router over real model services and a real Redis, and both clients of it behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from ekiben.client import AsyncClient, Client
from ekiben.state.streams.blocks import OUTCOMES_STREAM
from ekiben.state.streams.events import Outcome
from tests.ekiben.client.relay import Relay, relaying
from tests.processes import RouterProcess, ServiceProcess
from tests.redis_server import RedisServer
from tests.router.documents import credit
from tests.state.reading import events_in

KEY = "the-key-of-one-application"
ONLY_PREDICTS = "the-key-that-only-predicts"
FOREIGN = "der-schlüssel-der-anwendung"
SLOW = "the-key-with-one-request-a-second"


@dataclass
class Station:
    """What runs for all tests of this folder."""

    router: RouterProcess
    services: dict[str, ServiceProcess]
    state: RedisServer

    async def held(self) -> list[Outcome]:
        """The outcomes in the stream, with repetitions."""
        async with self.state.client() as client:
            return events_in(await client.xrange(OUTCOMES_STREAM))


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    folder = tmp_path_factory.mktemp("c")
    state = RedisServer(folder, "s")
    asyncio.run(state.start())
    services = {version: ServiceProcess(version, folder) for version in ("v1", "v2", "v3")}
    for service in services.values():
        service.start()
    document = credit({version: [service.url] for version, service in services.items()})
    (folder / "experiments.yaml").write_text(yaml.safe_dump(document))
    router = RouterProcess(
        folder,
        EKIBEN_CACHE_URL=state.url,
        EKIBEN_STATE_URL=state.url,
        EKIBEN_API_KEYS=f"{KEY},{FOREIGN},{ONLY_PREDICTS}:predict,{SLOW}:predict+outcomes:1",
    )
    router.start()
    yield Station(router, services, state)
    for process in (router, *services.values()):
        process.kill()
    state.kill()


@pytest.fixture
async def station(running: Station) -> Station:
    """Nothing has been reported yet."""
    async with running.state.client() as client:
        await client.delete(OUTCOMES_STREAM)
    return running


@pytest.fixture
async def relay(station: Station) -> AsyncIterator[Relay]:
    async with relaying(station.router.port) as between:
        yield between


class _Threaded:
    """A `Client` whose methods are awaited, as those of an `AsyncClient`."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def called(*args: Any, **options: Any) -> Any:
            return await asyncio.to_thread(getattr(self.client, name), *args, **options)

        return called


Open = Callable[..., Any]
"""Opens a client of the kind that is tested; the test closes nothing."""


@pytest.fixture(params=["threads", "asyncio"])
async def open_client(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        def opened(url: str, key: str | None = KEY, **options: Any) -> Any:
            if request.param == "threads":
                return _Threaded(stack.enter_context(Client(url, key, **options)))
            client = AsyncClient(url, key, **options)
            stack.push_async_callback(client.close)
            return client

        yield opened
