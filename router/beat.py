"""What this worker tells of itself every second: one small write, whatever the load."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import Final

import msgspec

from ekiben.state.beats import EVERY_S, Beat, Beats, EndpointBeat, VersionBeat
from ekiben.state.connecting import StateUnavailable
from router.lanes.routes import VersionRoute
from router.records.events import RedisEvents
from router.records.metrics import SECONDS
from router.records.peers import Peers
from router.worker import Worker

_TIMEOUT_S: Final = 2.0
_FAREWELL_S: Final = 0.5


async def beat_on(beats: Beats, worker: Worker, events: RedisEvents, peers: Peers) -> None:
    """Write the worker's beat every second until cancelled, then take it away. `peers` come to know who
    beats: this worker by `peers.me`."""
    try:
        while True:
            # What cannot be written now is in the next one.
            with contextlib.suppress(StateUnavailable, TimeoutError):
                asked = time.monotonic()
                async with asyncio.timeout(_TIMEOUT_S):
                    peers.know(await beats.write(make_beat(worker, peers.me, events)), asked)
            await asyncio.sleep(EVERY_S)
    finally:
        with contextlib.suppress(StateUnavailable, TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await beats.leave(peers.me)


def make_beat(worker: Worker, me: str, events: RedisEvents) -> Beat:
    """The worker as it is now. It beats by the id `me`."""
    worker.metrics.flush()
    snapshot = worker.snapshot
    return Beat(
        worker=me,
        host=socket.gethostname(),
        pid=os.getpid(),
        at=time.time(),
        started_at=worker.started_at,
        lineage=snapshot.lineage if snapshot else None,
        revision=snapshot.revision if snapshot else None,
        adopted_at=worker.adopted_at,
        draining=worker.draining,
        reads_later=True,
        loopback=worker.web.only_here,
        outcomes_open=worker.keys.is_open,
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
    counts = msgspec.structs.asdict(route.metrics.tally)
    endpoints = msgspec.convert(route.endpoints.health(), list[EndpointBeat])
    return VersionBeat(**counts, queued=route.lane.waiting.queued, endpoints=endpoints)
