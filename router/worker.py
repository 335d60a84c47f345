"""One router worker: what it holds, and its life from start to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ekiben.experiments.snapshot import Snapshot
from ekiben.process.http.names import HostNames
from ekiben.process.tasks import end_tasks, keep_running
from ekiben.process.traces import Traces
from ekiben.state.documents.applying import FileStanding
from ekiben.state.documents.document import Stored
from ekiben.state.durability import Durability
from router.errors import NotReady
from router.http.asgi import BODY_TIMEOUT_S
from router.http.costly import MAX_ELEMENTS, Shared, Turns
from router.http.keys import Keys
from router.http.web import WebRules
from router.lanes.probes import probe_all
from router.lanes.routes import ModelRoute, RouteBuilder, beside_of, lanes_of, samples_of
from router.records.access_log import AccessLog
from router.records.events import Events
from router.records.metrics import Metrics
from router.records.outcome_writer import Outcomes

log = logging.getLogger(__name__)

_RETIRE_S: Final = 60.0
# Longer than it takes to send the last events, or to give that up.
_LAST_WORK_S: Final = 3.0


@dataclass(eq=False)
class Worker:
    """What the request handlers share. The only mutable state of a worker is reached from here."""

    builder: RouteBuilder
    events: Events
    metrics: Metrics
    new_id: Callable[[], str]
    outcomes: Outcomes
    hash_user: Callable[[str], str]
    max_body_bytes: int
    max_elements: int = MAX_ELEMENTS
    body_timeout_s: float = BODY_TIMEOUT_S
    turns: Turns = field(default_factory=Turns)
    keys: Keys = field(default_factory=Keys)
    web: WebRules = field(default_factory=lambda: WebRules(HostNames("127.0.0.1")))
    clock: Callable[[], float] = time.monotonic
    traces: Traces | None = None
    access_log: AccessLog = field(default_factory=lambda: AccessLog(0.0, time.monotonic))
    trusts_user_header: bool = False
    shows_addresses: bool = True
    dependencies: dict[str, Callable[[], Awaitable[bool]]] = field(default_factory=dict)
    """Tells of each thing that the worker depends on whether it answers."""
    durability: Durability | None = None
    trouble: Callable[[], str | None] = lambda: None
    """Why the experiments are not those that Redis holds; None while they are."""
    file: Callable[[], FileStanding | None] = lambda: None
    """How the experiments file stands, where this worker looks after it."""

    started_at: float = field(default_factory=time.time, init=False)
    snapshot: Snapshot | None = field(default=None, init=False)
    adopted_at: float | None = field(default=None, init=False)
    routes: Mapping[str, ModelRoute] = field(default_factory=dict, init=False)
    not_run: Mapping[str, str] = field(default_factory=dict, init=False)
    """Experiments that this release does not run, and why."""
    panicked: frozenset[str] = field(default=frozenset(), init=False)
    draining: bool = field(default=False, init=False)
    _background: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        self.exposition = Shared(self._render_metrics)
        """What `/metrics` answers."""
        self.answering = Shared(self._ask_dependencies)
        """Whether each dependency answers. However many ask, Redis is asked once at a time."""

    @property
    def ready(self) -> bool:
        """Whether it has experiments to route by and is not stopping."""
        return self.snapshot is not None and not self.draining

    def hashed(self, user_id: str | None) -> str | None:
        """What stands for a user outside this process."""
        return None if user_id is None else self.hash_user(user_id)

    def routed_by(self) -> Snapshot:
        """The experiments that it routes by. Raises `NotReady` while there are none."""
        if self.snapshot is None:
            raise NotReady("there are no experiments to route by yet")
        return self.snapshot

    def adopt(self, stored: Stored, snapshot: Snapshot | None = None) -> object:
        """Route by `stored` from the next request on. Requests under way end as they began.

        `snapshot` is that of `stored`, where it was made elsewhere: 1,000 experiments take some 10 ms.
        Returns what went out of use, for the caller to let go of elsewhere: that takes as long.
        """
        former = self.snapshot, self.routes
        if snapshot is None:
            snapshot = Snapshot(stored.lineage, stored.revision, stored.document)
        self.not_run = stored.kept.not_run
        old = self.routes
        self.routes = self.builder.build(snapshot, old)
        self.snapshot = snapshot
        self.adopted_at = time.time()
        self.metrics.revision.set(stored.revision)
        for lane in lanes_of(old) - lanes_of(self.routes):
            self.spawn(lane.close(_RETIRE_S))
        for samples in samples_of(old) - samples_of(self.routes):
            samples.close()
        self.spawn(probe_all(self.routes, everyone=False))
        return former

    def panic(self, models: frozenset[str]) -> None:
        """Send everyone of `models` to live from the next request on, whatever the experiments say."""
        self.panicked = models

    def keep(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run something without an end in the background, again when it fails, until the worker stops."""
        self.spawn(keep_running(name, run))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something in the background until it ends or the worker stops."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._ended)

    async def _render_metrics(self) -> bytes:
        await self.metrics.settle()
        async with self.turns.turn():
            return await asyncio.to_thread(self.metrics.render)

    async def _ask_dependencies(self) -> dict[str, bool]:
        answers = await asyncio.gather(*(check() for check in self.dependencies.values()))
        return dict(zip(self.dependencies, answers, strict=True))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task failed", exc_info=error)

    async def stop(self, grace_s: float) -> None:
        """Answer what is in flight, then end the background tasks."""
        self.draining = True
        await asyncio.gather(*(lane.close(grace_s) for lane in lanes_of(self.routes)))
        for beside in beside_of(self.routes):
            beside.close()
        for samples in samples_of(self.routes):
            samples.close()
        self.builder.outbox.send()
        while self._background:
            await end_tasks(*self._background, again_s=_LAST_WORK_S)
