"""What a worker shows of its versions' endpoints, and how long rows have waited."""

from __future__ import annotations

import asyncio

import pytest

from ekiben.state.documents.applying import FileStanding
from router.errors import VersionUnavailable
from router.gauges import BREAKERS, Gauges, watch
from router.records.metrics import Metrics
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import until


class Shown:
    """Gauges of their own, read by name."""

    def __init__(self) -> None:
        metrics = Metrics()
        self.registry = metrics.registry
        self.gauges = Gauges(metrics)

    def endpoints(self, version: str) -> dict[str, float | None]:
        labels = {"model": "credit", "version": version}
        found = {b: self.value("ekiben_endpoints", breaker=b, **labels) for b in BREAKERS}
        return {**found, "ready": self.value("ekiben_endpoints_ready", **labels)}

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


NONE = dict.fromkeys((*BREAKERS, "ready"), 0)


@pytest.fixture
def services() -> dict[str, Service]:
    return {url: Service(name) for url, name in ((V1, "v1"), (V2, "v2"), (V3, "v3"))}


async def test_a_breaker_is_open_while_it_turns_calls_away_then_waits_for_a_trial(
    services: dict[str, Service],
) -> None:
    now, shown = 1000.0, Shown()
    async with build_app(credit_document(), services, clock=lambda: now) as router:
        shown.gauges.show_versions(router.worker.routes, now)
        assert shown.endpoints("v2") == {**NONE, "closed": 1, "ready": 1}
        services[V2].failure = VersionUnavailable("connection refused")
        for row in range(5):
            await router.client.predict("u-treatment", {"row": row})
        shown.gauges.show_versions(router.worker.routes, now)
        assert shown.endpoints("v2") == {**NONE, "open": 1}
        shown.gauges.show_versions(router.worker.routes, now + 60)
        assert shown.endpoints("v2") == {**NONE, "trial": 1, "ready": 1}


async def test_a_version_that_was_removed_has_no_endpoints(services: dict[str, Service]) -> None:
    shown = Shown()
    async with build_app(credit_document(), services) as router:
        shown.gauges.show_versions(router.worker.routes, 0.0)
        assert shown.endpoints("v3")["closed"] == 1
        shown.gauges.show_versions({}, 0.0)
        assert shown.endpoints("v3") == NONE


async def test_the_watch_tells_of_redis_of_the_snapshot_and_of_what_waits() -> None:
    class Events:
        waiting = 7

    class Source:
        confirmed_at = 1234.0
        file = FileStanding("experiments.yaml", "refused", 5.0)

    async def up() -> bool:
        return True

    async def down() -> bool:
        return False

    shown = Shown()
    async with build_app(None, {}, probed=False) as router:
        router.worker.dependencies = {"cache": down, "state": up}
        router.outcomes.waiting = 7
        watching = asyncio.create_task(watch(shown.gauges, router.worker, Source(), Events()))
        await until(lambda: shown.value("ekiben_redis_up", redis="state") is not None)
        watching.cancel()
    assert shown.value("ekiben_redis_up", redis="state") == 1
    assert shown.value("ekiben_redis_up", redis="cache") == 0
    assert shown.value("ekiben_snapshot_confirmed_timestamp_seconds") == 1234
    assert shown.value("ekiben_experiments_file_refused") == 1
    assert shown.value("ekiben_events_waiting") == shown.value("ekiben_outcomes_waiting") == 7


async def test_every_row_that_was_called_for_has_waited_in_the_queue(services: dict[str, Service]) -> None:
    async with build_app(credit_document(), services) as router:
        await asyncio.gather(*(router.client.predict("u-control", {"row": row}) for row in range(5)))
        waited = counted(router)
        await router.client.predict("u-control", {"row": 0})  # from the worker's own cache
        assert (waited, counted(router)) == (5, 5)


def counted(router: Router) -> float:
    return router.counted("ekiben_queue_seconds_count", model="credit", version="v1")


def test_names_end_with_their_unit_and_counters_with_total() -> None:
    metrics = Metrics()
    Gauges(metrics)
    for family in metrics.registry.collect():
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_rows"))
        if family.type == "counter":
            assert not family.name.endswith("_total")  # the format adds it
        assert "_ms" not in family.name
