"""What a worker routes by: the snapshot's plans, each with the lanes of its versions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final
from urllib.parse import urlsplit

from ekiben.experiments.snapshot import Assignment, Plan, Snapshot
from ekiben.experiments.version import Version
from router.lanes.cache import LocalCache, SharedCache
from router.lanes.dialects.table import calls_at_once, output_of, rows_at_once
from router.lanes.endpoint import Endpoint
from router.lanes.endpoints import Endpoints
from router.lanes.lag import LoopLag
from router.lanes.lane import Lane
from router.lanes.resolve import Resolve, host_to_resolve, with_address
from router.lanes.second_answers import SecondAnswers
from router.lanes.service import ModelService
from router.lanes.shadow import MAX_SHADOW_QUEUE, Shadow
from router.lanes.waiting import MAX_BYTES
from router.records.events import Events
from router.records.metrics import Metrics, VersionMetrics
from router.records.peers import Peers
from router.records.samples import Outbox, Samples

log = logging.getLogger(__name__)

QUEUES_MAX_BYTES: Final = 64 * 1024 * 1024
"""What the requests that wait in a worker's lanes may take together."""
_USERS: Final = 10_000

_RESOLVE_TIMEOUT_S: Final = 2.0

ServiceMaker = Callable[..., ModelService]
"""Opens the service at an endpoint of a version, given its URL and, where that has an address only, its
host's name.
"""


async def resolve_endpoints(endpoints: Endpoints, make_service: ServiceMaker, resolve: Resolve) -> None:
    """Give each endpoint whose URL has a host name one endpoint for each address behind it.

    Addresses that stayed keep their breaker and connections. A name that cannot be resolved now keeps
    the addresses it had.
    """
    fresh: list[Endpoint] = []
    for given in dict.fromkeys(endpoint.given for endpoint in endpoints.all):
        held = {endpoint.url: endpoint for endpoint in endpoints.all if endpoint.given == given}
        host = host_to_resolve(given)
        try:
            # A name server that is away is not waited for: the probes that follow would wait too.
            async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
                addresses = [] if host is None else await resolve(host)
        except OSError as error:
            log.warning("%s cannot be resolved: %s", host, str(error) or "no answer in time")
            addresses = []
        if not addresses:
            fresh += held.values()
            continue
        name = urlsplit(given).netloc
        for url in (with_address(given, address) for address in addresses):
            fresh.append(held.get(url) or Endpoint(url, make_service(url, name), given))
    endpoints.all = fresh


@dataclass(frozen=True, slots=True)
class VersionRoute:
    """A version of a model in this worker: how it is reached, and the lane that serves."""

    version: str
    spec: Version
    ttl_s: int
    endpoints: Endpoints
    lane: Lane
    metrics: VersionMetrics


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """A model in this worker."""

    plan: Plan
    versions: Mapping[str, VersionRoute]
    shadows: tuple[Shadow, ...]
    samples: Samples | None
    beside: Mapping[str, SecondAnswers]
    """By version what asks it for the answers that experiments compare (`plan.beside`)."""
    revision: int
    assign: Callable[[str | None], Assignment]
    """`plan.assign` of a user without attributes, remembering the users seen last: they come back."""


@dataclass(eq=False)
class RouteBuilder:
    """Builds the routes of a snapshot, keeping the lanes of versions that did not change."""

    make_service: ServiceMaker
    shared: SharedCache
    metrics: Metrics
    events: Events
    local_cache_entries: int
    clock: Callable[[], float] = time.monotonic
    lag: LoopLag = field(default_factory=LoopLag)
    peers: Peers = field(default_factory=lambda: Peers(""))
    _good_rows: dict[str, dict[str, bytes]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.events)

    async def resolve(self, routes: Mapping[str, ModelRoute], resolve: Resolve) -> None:
        """Look every host name up again."""
        versions = [version for route in routes.values() for version in route.versions.values()]
        await asyncio.gather(
            *(
                resolve_endpoints(version.endpoints, partial(self.make_service, version.spec), resolve)
                for version in versions
            )
        )

    def build(self, snapshot: Snapshot, old: Mapping[str, ModelRoute]) -> dict[str, ModelRoute]:
        """The routes of `snapshot`."""
        routes = {name: self._model(plan, snapshot, old.get(name)) for name, plan in snapshot.plans.items()}
        for name in self._good_rows.keys() - snapshot.plans.keys():
            del self._good_rows[name]
        for name, rows in self._good_rows.items():
            for version in rows.keys() - snapshot.plans[name].versions.keys():
                del rows[version]
        # Shares, and not one budget for all: no model and no version can use up what another needs.
        lanes = lanes_of(routes)
        for lane in lanes:
            lane.waiting.budget.limit = max(QUEUES_MAX_BYTES // len(lanes), 2 * MAX_BYTES)
        return routes

    def _model(self, plan: Plan, snapshot: Snapshot, old: ModelRoute | None) -> ModelRoute:
        versions = {
            name: self._version(plan, name, spec, old.versions.get(name) if old else None)
            for name, spec in plan.versions.items()
        }
        shadows = tuple(
            self._shadow(plan, versions[name], share, old) for name, share in plan.shadow if share > 0
        )
        samples = self._samples(plan, old)
        compared = dict.fromkeys(name for needed in plan.beside.values() for name in needed)
        beside = {name: self._beside(plan, versions[name], old) for name in compared}
        assign = lru_cache(_USERS)(plan.assign)
        return ModelRoute(plan, versions, shadows, samples, beside, snapshot.revision, assign)

    def _samples(self, plan: Plan, old: ModelRoute | None) -> Samples | None:
        if plan.capture is None:
            return None
        samples = (old and old.samples) or Samples(plan.capture, self.outbox, self.peers)
        samples.wanted = plan.capture
        return samples

    def _version(self, plan: Plan, name: str, spec: Version, old: VersionRoute | None) -> VersionRoute:
        if old is not None and old.spec == spec and old.ttl_s == plan.cache_ttl_s:
            old.endpoints.last_resort = name == plan.live
            return old
        endpoints = Endpoints(
            [Endpoint(url, self.make_service(spec, url)) for url in spec.endpoints],
            calls_at_once(spec),
            self.clock,
            version=name,
            good_rows=self._good_rows.setdefault(plan.name, {}),
            max_rows=rows_at_once(spec),
        )
        endpoints.known.output = output_of(spec)
        endpoints.last_resort = name == plan.live
        metrics = self.metrics.version(plan.name, name)
        lane = self._lane(plan, name, endpoints, metrics)
        return VersionRoute(name, spec, plan.cache_ttl_s, endpoints, lane, metrics)

    def _shadow(self, plan: Plan, route: VersionRoute, share: float, old: ModelRoute | None) -> Shadow:
        kept = {shadow.version: shadow.lane for shadow in old.shadows} if old else {}
        lane = kept.get(route.version)
        if lane is None or lane.endpoints is not route.endpoints:
            lane = self._lane(plan, route.version, route.endpoints, route.metrics, MAX_SHADOW_QUEUE)
        return Shadow(plan.name, route.version, share, lane, self.metrics, self.events, self.clock)

    def _beside(self, plan: Plan, route: VersionRoute, old: ModelRoute | None) -> SecondAnswers:
        beside = old.beside.get(route.version) if old else None
        if beside is None or beside.lane.endpoints is not route.endpoints:
            lane = self._lane(plan, route.version, route.endpoints, route.metrics)
            beside = SecondAnswers(plan.name, route.version, lane, self.metrics, self.events, self.clock)
        beside.keeps_features = plan.capture is not None and not plan.capture.without
        return beside

    def _lane(
        self, plan: Plan, version: str, endpoints: Endpoints, metrics: VersionMetrics, max_queue: int = 4096
    ) -> Lane:
        return Lane(
            plan.name,
            version,
            endpoints,
            self.shared,
            LocalCache(self.local_cache_entries),
            metrics,
            ttl_s=plan.cache_ttl_s,
            max_queue=max_queue,
            lag=self.lag,
            clock=self.clock,
        )


def samples_of(routes: Mapping[str, ModelRoute]) -> set[Samples]:
    """What samples the requests of `routes`."""
    return {route.samples for route in routes.values() if route.samples is not None}


def lanes_of(routes: Mapping[str, ModelRoute]) -> set[Lane]:
    """Every lane that `routes` use."""
    serving = {version.lane for route in routes.values() for version in route.versions.values()}
    shadows = {shadow.lane for route in routes.values() for shadow in route.shadows}
    return serving | shadows | {each.lane for each in beside_of(routes)}


def beside_of(routes: Mapping[str, ModelRoute]) -> set[SecondAnswers]:
    """What asks for the second answers that experiments compare."""
    return {each for route in routes.values() for each in route.beside.values()}
