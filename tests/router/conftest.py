"""The router in the process: the real app over services, cache and events that live in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest
from msgspec.structs import asdict

from ekiben.experiments.document import Document
from ekiben.state.documents.document import Stored
from ekiben.state.streams.events import KINDS
from router.app import RouterApp
from router.lanes.cache import InMemoryCache, SharedCache
from router.lanes.probes import probe_all
from router.lanes.routes import RouteBuilder
from router.lanes.service import ModelService
from router.records.events import IdMaker, InMemoryEvents
from router.records.metrics import Metrics
from router.records.outcome_writer import InMemoryOutcomes
from router.records.peers import Peers
from router.worker import Worker
from tests.router.client import Client
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service


@dataclass
class Router:
    """A running router in the process, and everything around it that a test looks at."""

    app: RouterApp
    client: Client
    worker: Worker
    services: Mapping[str, ModelService]
    cache: InMemoryCache
    events: InMemoryEvents
    outcomes: InMemoryOutcomes

    def adopt(self, document: Document, revision: int = 2) -> None:
        """Route by another document from now on."""
        self.worker.adopt(Stored("here", revision, "", document))

    async def probe(self) -> None:
        """Ask every service what it is, as happens every few seconds."""
        await probe_all(self.worker.routes, everyone=True)

    def exposures(self, kind: str = "exposure") -> list[dict[str, object]]:
        """The events of a kind, by column; `user_hash` holds the user id in clear."""
        return [asdict(event) for event in self.events.held if type(event) is KINDS[kind]]

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 where nothing was counted."""
        self.worker.metrics.flush()
        return self.worker.metrics.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def build_app(
    document: Document | None,
    services: Mapping[str, ModelService],
    *,
    shared: SharedCache | None = None,
    local_cache_entries: int = 1000,
    max_body_bytes: int = 1024 * 1024,
    probed: bool = True,
    clock: Callable[[], float] | None = None,
    hash_user: Callable[[str], str] = lambda user_id: user_id,
    peers: Peers | None = None,
) -> AsyncIterator[Router]:
    """Start the app over `services` (by URL) and stop it again. Without a document it has no snapshot."""
    cache, events, metrics, new_id = InMemoryCache(), InMemoryEvents(), Metrics(), IdMaker()
    outcomes = InMemoryOutcomes()
    timed = {} if clock is None else {"clock": clock}
    builder = RouteBuilder(
        lambda _spec, url: services[url],
        shared or cache,
        metrics,
        events,
        local_cache_entries,
        peers=peers or Peers(""),
        **timed,
    )

    async def open_worker(stack: contextlib.AsyncExitStack) -> Worker:
        worker = Worker(
            builder,
            events,
            metrics,
            new_id,
            max_body_bytes=max_body_bytes,
            outcomes=outcomes,
            hash_user=hash_user,
            **timed,
        )
        if document is not None:
            worker.adopt(Stored("here", 1, "", document))
        stack.push_async_callback(worker.stop, 5.0)
        return worker

    app = RouterApp(open_worker)
    await app.startup()
    try:
        assert app.worker is not None
        router = Router(app, Client(app), app.worker, services, cache, events, outcomes)
        if probed:
            await router.probe()
        yield router
    finally:
        await app.shutdown()


@pytest.fixture
def v1() -> Service:
    return Service("v1")


@pytest.fixture
def v2() -> Service:
    return Service("v2")


@pytest.fixture
def v3() -> Service:
    return Service("v3")


@pytest.fixture
async def router(v1: Service, v2: Service, v3: Service) -> AsyncIterator[Router]:
    """The document of `credit`: v1 live, half of everyone on v2, nothing shadowed."""
    async with build_app(credit_document(), {V1: v1, V2: v2, V3: v3}) as running:
        yield running
