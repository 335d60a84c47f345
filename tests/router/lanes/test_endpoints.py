"""Which endpoint takes a call, and what becomes of a call that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from router.errors import (
    BulkFailed,
    BulkRefused,
    DeadlinePassed,
    RowRefused,
    VersionFailed,
    VersionUnavailable,
)
from router.lanes.answer import Answer, Row
from router.lanes.attempt import Batch
from router.lanes.breaker import BreakerState
from router.lanes.dialects.dialect import BulkAnswer
from router.lanes.endpoint import Endpoint
from router.lanes.endpoints import Endpoints
from tests.router.services import OUTPUT, Service
from tests.waiting import settle

ROW = [b'{"row":1}']


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def endpoints(*services: Service, clock: Clock | None = None, workers: int = 1) -> Endpoints:
    version = Endpoints(
        [Endpoint(f"http://e{number}:1", service) for number, service in enumerate(services)],
        workers,
        clock or Clock(),
        draw=lambda: 0.5,
    )
    version.known.output = OUTPUT
    return version


def tags(found: list[Row]) -> list[str | None]:
    """What answered each row; None where nothing did."""
    return [row.model_version if isinstance(row, Answer) else None for row in found]


def states(version: Endpoints) -> set[BreakerState]:
    return {each.breaker.state for each in version.all}


async def test_a_call_goes_to_the_least_loaded_endpoint() -> None:
    one, other = Service("v1"), Service("v1")
    one.hold()
    other.hold()
    version = endpoints(one, other)
    calls = [asyncio.create_task(version.call(Batch(ROW, 200.0))) for _ in range(6)]
    await settle()
    assert (one.in_flight, other.in_flight) == (3, 3)
    one.release()
    other.release()
    await asyncio.gather(*calls)


async def test_one_retry_goes_to_another_endpoint() -> None:
    dead, well = Service("v1"), Service("v1")
    dead.die()
    version = endpoints(dead, well)
    for _ in range(10):
        assert tags(await version.call(Batch(ROW, 200.0))) == ["credit_v1:1"]
    assert well.arrivals == 10


async def test_there_is_one_retry_and_not_two() -> None:
    services = [Service("v1") for _ in range(4)]
    for service in services:
        service.die()
    with pytest.raises(VersionUnavailable):
        await endpoints(*services).call(Batch(ROW, 200.0))
    assert sum(service.arrivals for service in services) == 2


async def test_a_lone_endpoint_is_not_asked_twice() -> None:
    dead = Service("v1")
    dead.die()
    with pytest.raises(VersionUnavailable):
        await endpoints(dead).call(Batch(ROW, 200.0))
    assert dead.arrivals == 1


async def test_a_refused_call_is_neither_retried_nor_held_against_the_endpoint() -> None:
    refusing, other = Service("v1"), Service("v1")
    for service in (refusing, other):
        service.failure = BulkRefused("status 400")
    version = endpoints(refusing, other)
    for _ in range(5):
        (became,) = await version.call(Batch(ROW, 200.0))
        assert isinstance(became, RowRefused)
    assert refusing.arrivals + other.arrivals == 5
    assert states(version) == {BreakerState.CLOSED}


async def test_retries_end_when_their_budget_is_used_up_and_a_tenth_of_calls_fills_it() -> None:
    """Endpoints that fail now and then, so that no breaker opens."""

    class Flaky(Service):
        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            self.arrivals += 1
            raise VersionUnavailable("refused")

    services = [Flaky("v1"), Flaky("v1")]
    version = endpoints(*services)

    async def call() -> int:
        before = sum(service.arrivals for service in services)
        with pytest.raises(VersionFailed):
            await version.call(Batch(ROW, 200.0))
        for each in version.all:
            each.breaker.succeeded(100.0)
            each.breaker.state = BreakerState.CLOSED
        return sum(service.arrivals for service in services) - before

    attempts = [await call() for _ in range(200)]
    retries = [attempt - 1 for attempt in attempts]
    assert retries[:10] == [1] * 10
    assert sum(retries) <= 10 + 0.1 * len(attempts)
    assert sum(retries[100:]) >= 5  # and they come back


async def test_a_first_attempt_leaves_half_of_the_time_for_the_second() -> None:
    given: list[float] = []

    class Noting(Service):
        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            given.append(timeout_s)
            raise DeadlinePassed("too late")

    with pytest.raises(DeadlinePassed):
        await endpoints(Noting("v1"), Noting("v1")).call(Batch(ROW, 110.0))
    assert given == [5.0, 10.0]


async def test_a_lone_endpoint_has_all_of_the_time() -> None:
    given: list[float] = []

    class Noting(Service):
        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            given.append(timeout_s)
            return await super().bulk(rows, timeout_s, *others)

    await endpoints(Noting("v1")).call(Batch(ROW, 110.0))
    assert given == [10.0]


async def test_an_endpoint_that_keeps_failing_is_not_asked_until_it_has_cooled_down() -> None:
    clock = Clock()
    dead = Service("v1")
    dead.die()
    version = endpoints(dead, clock=clock)
    for _ in range(10):
        with pytest.raises(VersionUnavailable):
            await version.call(Batch(ROW, 200.0))
    assert dead.arrivals == 3
    dead.failure = None
    clock.now += 1.0
    assert await version.call(Batch(ROW, 200.0))


async def test_capacity_counts_the_workers_of_endpoints_that_may_be_called() -> None:
    clock = Clock()
    dead, well = Service("v1"), Service("v1")
    version = endpoints(dead, well, clock=clock, workers=3)
    assert version.capacity == 6
    for _ in range(3):
        version.all[0].breaker.failed(clock.now)
    assert version.capacity == 3
    for _ in range(3):
        version.all[1].breaker.failed(clock.now)
    assert version.capacity == 3  # somebody has to tell those who wait
    clock.now += 60
    assert version.capacity == 6


async def test_a_call_that_is_cancelled_is_no_longer_counted_as_in_flight() -> None:
    service = Service("v1")
    service.hold()
    version = endpoints(service)
    call = asyncio.create_task(version.call(Batch(ROW, 200.0)))
    await settle()
    assert version.all[0].in_flight == 1
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert version.all[0].in_flight == 0


async def test_an_endpoint_that_answers_uselessly_is_left_for_one_that_answers() -> None:
    odd, well = Service("v1", tag="odd"), Service("v1", tag="well")
    odd.answer = lambda _features: {"ok": {"no": "score"}}
    version = endpoints(odd, well)
    version.all[1].in_flight = -1  # the first call goes where an answer comes from, and is remembered
    assert tags(await version.call(Batch(ROW, 200.0))) == ["well"]
    version.all[1].in_flight = 0
    for _ in range(20):
        assert tags(await version.call(Batch(ROW, 200.0))) == ["well"]
    assert version.all[0].breaker.state is BreakerState.OPEN
    assert odd.arrivals == 2 * 3  # each time with the row that had been answered before


@pytest.mark.parametrize("way", ["useless answers", "a failure", "500"])
async def test_rows_that_an_endpoint_fails_on_a_moment_after_it_worked_are_answered_by_another(
    way: str,
) -> None:
    odd, well = Service("v1", tag="odd"), Service("v1", tag="well")
    version = endpoints(odd, well)
    version.all[1].in_flight = 1
    assert tags(await version.call(Batch(ROW, 200.0))) == ["odd"]
    fail(odd, way)
    for _ in range(5):
        assert tags(await version.call(Batch(ROW, 200.0))) == ["well"]
    assert version.all[0].breaker.state is BreakerState.OPEN


@pytest.mark.parametrize("way", ["useless answers", "a failure", "500"])
async def test_rows_that_an_endpoint_fails_on_before_any_was_answered_are_answered_by_another(
    way: str,
) -> None:
    odd, well = Service("v1", tag="odd"), Service("v1", tag="well")
    version = endpoints(odd, well)
    version.all[1].in_flight = 1
    fail(odd, way)
    assert tags(await version.call(Batch(ROW, 200.0))) == ["well"]


@pytest.mark.parametrize("known", [True, False])
async def test_a_batch_that_an_endpoint_fails_on_as_a_whole_is_answered_by_another(known: bool) -> None:
    odd, well = Service("v1", tag="odd"), Service("v1", tag="well")
    version = endpoints(odd, well)
    version.all[1].in_flight = 1
    if known:
        await version.call(Batch(ROW, 200.0))
    odd.failure = BulkFailed("status 500")
    assert tags(await version.call(Batch([b'{"row":1}', b'{"row":2}'], 200.0))) == ["well", "well"]


async def test_an_endpoint_that_dies_while_guilty_rows_are_looked_for_leaves_them_to_another() -> None:
    class Dies(Service):
        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            self.arrivals += 1
            raise BulkFailed("status 500") if self.arrivals == 1 else VersionUnavailable("connection refused")

    well = Service("v1", tag="well")
    version = endpoints(Dies("v1"), well)
    version.all[1].in_flight = 1
    assert tags(await version.call(Batch([b'{"row":1}'] * 30, 200.0))) == ["well"] * 30


async def test_endpoints_that_one_name_stands_for_are_several() -> None:
    odd, well = Service("v1", tag="odd"), Service("v1", tag="well")
    version = endpoints(odd)  # one name …
    version.all = (version.all[0], Endpoint("http://10.0.0.2:1", well))  # … that is resolved
    version.all[1].in_flight = 1
    assert tags(await version.call(Batch(ROW, 200.0))) == ["odd"]
    odd.answer = lambda _features: {"error": {"status": 500}}
    assert tags(await version.call(Batch(ROW, 200.0))) == ["well"]


def fail(service: Service, way: str) -> None:
    if way == "500":
        service.failure = BulkFailed("status 500")
    else:
        said = {"ok": {"no": "score"}} if way == "useless answers" else {"error": {"status": 500}}
        service.answer = lambda _features: said


async def test_live_coming_back_takes_everything_at_once_for_nothing_stands_in() -> None:
    clock = Clock()
    service = Service("v1")
    for last_resort in (True, False):
        version = endpoints(service, clock=clock)
        version.last_resort = last_resort
        service.die()
        for _ in range(3):
            with pytest.raises(VersionUnavailable):
                await version.call(Batch(ROW, 2000.0))
        service.failure = None
        clock.now += 1.0
        assert await version.call(Batch(ROW, 2000.0))  # the trial
        if last_resort:
            assert await version.call(Batch(ROW, 2000.0))
        else:
            with pytest.raises(VersionUnavailable):  # live answers in its place
                await version.call(Batch(ROW, 2000.0))
