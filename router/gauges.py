"""What a worker shows of itself as it is now, looked at every second, whatever the load."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from router.lanes.breaker import BreakerState
from router.lanes.endpoint import Endpoint
from router.lanes.routes import ModelRoute
from router.records.events import RedisEvents
from router.records.metrics import Metrics
from router.snapshots import SnapshotSource
from router.worker import Worker

log = logging.getLogger(__name__)

EVERY_S: Final = 1.0
BREAKERS: Final = tuple(state.name.lower() for state in BreakerState)
_VERSION: Final = ("model", "version")


class Gauges:
    """The router's gauges but requests in flight and the revision. `docs/metrics.md` describes them."""

    def __init__(self, metrics: Metrics) -> None:
        gauge = metrics.gauge
        self.endpoints = gauge(
            "ekiben_endpoints", "Endpoints by the state of their breaker", *_VERSION, "breaker"
        )
        self.ready = gauge(
            "ekiben_endpoints_ready", "Endpoints that were reached and may be called", *_VERSION
        )
        self.calls = gauge("ekiben_calls_in_flight", "Bulk calls that have not come back", *_VERSION)
        self.redis_up = gauge(
            "ekiben_redis_up",
            "1 while every worker reaches this Redis (cache, state)",
            "redis",
            mode="livemin",
        )
        self.durable = gauge(
            "ekiben_state_durable", "1 while the state Redis keeps what it confirms", mode="livemin"
        )
        self.confirmed = gauge(
            "ekiben_snapshot_confirmed_timestamp_seconds",
            "When a worker last heard from the state Redis that its experiments are current",
            mode="liveall",
        )
        self.events_waiting = gauge("ekiben_events_waiting", "Events in memory that Redis does not have yet")
        self.outcomes_waiting = gauge("ekiben_outcomes_waiting", "Outcomes that wait for Redis's disk")
        self.file_refused = gauge(
            "ekiben_experiments_file_refused",
            "1 while an experiments file that a router looks after is refused",
            mode="livemax",
        )
        self._shown: set[tuple[str, str]] = set()

    def show_versions(self, routes: Mapping[str, ModelRoute], now: float) -> None:
        """The endpoints of every version, as they are at `now` of the monotonic clock."""
        held = {
            (model, name): version.endpoints.all
            for model, route in routes.items()
            for name, version in route.versions.items()
        }
        for model, name in held.keys() | self._shown:  # a version that is gone has no endpoints, ready or not
            self._show(model, name, held.get((model, name), ()), now)
        self._shown = set(held)

    def _show(self, model: str, version: str, endpoints: Sequence[Endpoint], now: float) -> None:
        counts = dict.fromkeys(BREAKERS, 0)
        for endpoint in endpoints:
            state = endpoint.breaker.state
            # One whose cool-down is over waits for somebody to try it: it turns nobody away.
            waits = state is BreakerState.OPEN and not endpoint.breaker.is_open(now)
            counts["trial" if waits else state.name.lower()] += 1
        for breaker, count in counts.items():
            self.endpoints.labels(model, version, breaker).set(count)
        ready = sum(each.reached and not each.breaker.is_open(now) for each in endpoints)
        self.ready.labels(model, version).set(ready)
        self.calls.labels(model, version).set(sum(each.in_flight for each in endpoints))


async def watch(gauges: Gauges, worker: Worker, source: SnapshotSource, events: RedisEvents) -> None:
    """Keep the gauges up to date until cancelled."""
    while True:
        try:
            gauges.show_versions(worker.routes, worker.clock())
            gauges.events_waiting.set(events.waiting)
            gauges.outcomes_waiting.set(worker.outcomes.waiting)
            gauges.file_refused.set(source.file is not None and source.file.state == "refused")
            if worker.durability is not None and worker.durability.durable is not None:
                gauges.durable.set(worker.durability.durable)
            if source.confirmed_at is not None:
                gauges.confirmed.set(source.confirmed_at)
            for name, answers in (await worker.answering.get()).items():
                gauges.redis_up.labels(name).set(answers)
        except Exception:
            log.exception("the gauges could not be brought up to date")
        await asyncio.sleep(EVERY_S)
