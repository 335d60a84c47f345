"""What this worker tells of itself every second: one small write, whatever the load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from dataclasses import dataclass
from typing import Final, Protocol, Self, cast

import msgspec

from ekiben.state.beats import EVERY_S, Beat, Beats, EndpointBeat, VersionBeat
from ekiben.state.documents.document import StateUnavailable
from router.lanes.routes import VersionRoute
from router.records.metrics import SECONDS
from router.records.peers import Peers
from router.worker import Worker

_TIMEOUT_S: Final = 2.0
_FAREWELL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Who:
    """A worker: an id of its own, where it runs and since when."""

    worker: str
    host: str
    pid: int
    started_at: float

    @classmethod
    def here(cls, worker: str) -> Self:
        """This process, from now."""
        return cls(worker, socket.gethostname(), os.getpid(), time.time())


class EventCounts(Protocol):
    """What became of this worker's events."""

    sent: int
    dropped: int

    @property
    def waiting(self) -> int:
        """Events in memory."""
        ...


async def beat_on(beats: Beats, worker: Worker, who: Who, events: EventCounts, peers: Peers) -> None:
    """Write the worker's beat every second until cancelled, then take it away. `peers` come to know who
    beats."""
    try:
        while True:
            # What cannot be written now is in the next one.
            with contextlib.suppress(StateUnavailable, TimeoutError):
                asked = time.monotonic()
                async with asyncio.timeout(_TIMEOUT_S):
                    peers.know(await beats.write(make_beat(worker, who, events, time.time())), asked)
            await asyncio.sleep(EVERY_S)
    finally:
        with contextlib.suppress(StateUnavailable, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await beats.leave(who.worker)


def make_beat(worker: Worker, who: Who, events: EventCounts, now: float) -> Beat:
    """The worker as it is."""
    worker.metrics.flush()
    snapshot = worker.snapshot
    return Beat(
        worker=who.worker,
        host=who.host,
        pid=who.pid,
        at=now,
        started_at=who.started_at,
        lineage=snapshot.lineage if snapshot else None,
        revision=snapshot.revision if snapshot else None,
        adopted_at=worker.adopted_at,
        draining=worker.draining,
        reads_later=True,
        loopback=worker.web.only_here,
        outcomes_open=worker.door.is_open,
        panic=sorted(worker.panicked),
        seconds_bounds=list(SECONDS),
        versions={
            f"{model}/{route.version}": _version(route)
            for model, each in worker.routes.items()
            for route in each.versions.values()
        },
        events_sent=events.sent,
        events_dropped=events.dropped,
        events_waiting=events.waiting,
        outcomes_accepted=worker.metrics.outcomes_here,
        outcomes_refused=worker.metrics.outcome_refusals_here,
        outcomes_waiting=worker.outcomes.waiting,
    )


def _version(route: VersionRoute) -> VersionBeat:
    endpoints = [
        EndpointBeat(
            url=cast("str", health["url"]),
            healthy=cast("bool", health["healthy"]),
            breaker=cast("str", health["breaker"]),  # type: ignore[arg-type]
            calls_in_flight=cast("int", health["calls_in_flight"]),
        )
        for health in route.endpoints.health()
    ]
    counts = msgspec.structs.asdict(route.metrics.tally)
    return VersionBeat(**counts, queued=route.lane.queued, endpoints=endpoints)
