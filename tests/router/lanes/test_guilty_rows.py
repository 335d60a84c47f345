"""A row that a service fails on costs that row its answer, and neither its neighbours nor the endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest

from router.errors import (
    BulkFailed,
    DeadlinePassed,
    RowNotTried,
    RowRefused,
    VersionFailed,
    VersionMalformed,
)
from router.lanes.answer import Answer, Row
from router.lanes.attempt import Batch
from router.lanes.breaker import BreakerState
from router.lanes.dialects.dialect import BulkAnswer
from router.lanes.endpoint import Endpoint
from router.lanes.endpoints import Endpoints
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import OUTPUT, Service
from tests.waiting import settle

FAILURES = [BulkFailed("status 500"), VersionMalformed("NaN is no JSON")]
FAR = 1e12


class Whole(Service):
    """A service that knows nothing of isolating rows: one with `poison` fails the whole call."""

    def __init__(self, version: str, failure: VersionFailed | None = None) -> None:
        super().__init__(version)
        self.whole = failure or BulkFailed("status 500")
        self.down = False

    async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
        if self.down or any(b'"poison"' in row for row in rows):
            self.arrivals += 1
            raise self.whole
        return await super().bulk(rows, timeout_s, *others)


def rows(size: int, poisoned: Sequence[int] = ()) -> list[bytes]:
    return [orjson.dumps({"row": n, "poison": 1} if n in poisoned else {"row": n}) for n in range(size)]


def one_endpoint(service: Service) -> Endpoints:
    """A version of one endpoint, a second after another for each call."""
    version = Endpoints([Endpoint("http://e:1", service)], clock=map(float, itertools.count()).__next__)
    version.known.output = OUTPUT
    return version


def breaker(version: Endpoints) -> BreakerState:
    return version.all[0].breaker.state


def answered(found: list[Row]) -> list[bool]:
    return [isinstance(row, Answer) for row in found]


@pytest.mark.parametrize("failure", FAILURES, ids=["500", "malformed"])
@pytest.mark.parametrize(
    ("size", "poisoned"), [(1, [0]), (2, [0]), (7, [6]), (64, [13]), (256, [255]), (256, [3, 90, 200])]
)
async def test_only_the_guilty_rows_of_a_call_that_fails_as_a_whole_have_no_answer(
    failure: VersionFailed, size: int, poisoned: list[int]
) -> None:
    version = one_endpoint(Whole("v1", failure))
    await version.call(Batch(rows(1), FAR))
    for _ in range(10):
        found = await version.call(Batch(rows(size, poisoned), FAR))
        assert answered(found) == [number not in poisoned for number in range(size)]
    assert breaker(version) is BreakerState.CLOSED


async def test_one_guilty_row_costs_at_most_2_log2_n_and_2_further_calls() -> None:
    for size, most in ((2, 4), (16, 10), (256, 18)):
        for guilty in range(size):
            service = Whole("v1")
            version = one_endpoint(service)
            await version.call(Batch(rows(1), FAR))
            before = service.arrivals
            await version.call(Batch(rows(size, [guilty]), FAR))
            assert service.arrivals - before <= 1 + most


async def test_one_good_row_among_63_guilty_ones_is_answered() -> None:
    version = one_endpoint(Whole("v1"))
    await version.call(Batch(rows(1), FAR))
    for good in range(64):
        found = await version.call(Batch(rows(64, [n for n in range(64) if n != good]), FAR))
        assert answered(found) == [n == good for n in range(64)]


async def test_a_service_that_is_down_gets_three_further_calls_and_its_breaker_opens() -> None:
    service = Whole("v1")
    version = one_endpoint(service)
    await version.call(Batch(rows(1), FAR))
    service.down = True
    before = service.arrivals
    for _ in range(3):
        with pytest.raises(VersionFailed):
            await version.call(Batch(rows(256), FAR))
    assert service.arrivals - before == 3 * (1 + 3)
    assert breaker(version) is BreakerState.OPEN


async def test_a_version_that_has_never_worked_is_tried_with_a_row_that_another_version_answered() -> None:
    good_rows: dict[str, bytes] = {}
    works, down = Whole("v1"), Whole("v2")
    down.down = True
    live = Endpoints([Endpoint("http://e:1", works)], version="v1", good_rows=good_rows)
    treatment = Endpoints([Endpoint("http://e:2", down)], version="v2", good_rows=good_rows)
    await live.call(Batch(rows(1), FAR))
    for _ in range(3):
        with pytest.raises(VersionFailed):
            await treatment.call(Batch(rows(256), FAR))
    assert down.arrivals == 3 * (1 + 3)
    assert breaker(treatment) is BreakerState.OPEN


async def test_where_no_row_is_known_to_be_good_a_tenth_of_the_calls_looks_for_one() -> None:
    service = Whole("v1")
    service.down = True
    version = one_endpoint(service)
    for _ in range(200):
        assert not any(answered(await version.call(Batch(rows(64), FAR))))
    assert service.arrivals <= 200 + 10 + 20


async def test_a_search_that_the_budget_has_too_few_calls_for_leaves_them_to_others() -> None:
    service = Whole("v1")
    service.down = True
    version = one_endpoint(service)
    assert all(version.known.retries.spend() for _ in range(9))
    await version.call(Batch(rows(64), FAR))
    assert service.arrivals == 1
    assert not version.known.retries.is_spent


async def test_guilty_rows_that_come_before_any_other_open_no_breaker() -> None:
    version = one_endpoint(Whole("v1"))
    for _ in range(50):
        await version.call(Batch(rows(3, range(3)), FAR))
    assert breaker(version) is BreakerState.CLOSED
    assert answered(await version.call(Batch(rows(1), FAR))) == [True]


@pytest.mark.parametrize("size", [1, 3])
async def test_guilty_rows_alone_open_no_breaker_however_many_there_are(size: int) -> None:
    version = one_endpoint(Whole("v1"))
    await version.call(Batch(rows(1), FAR))
    for _ in range(50):
        assert not any(answered(await version.call(Batch(rows(size, range(size)), FAR))))
    assert breaker(version) is BreakerState.CLOSED


async def test_rows_that_the_service_had_no_time_for_beside_a_guilty_one_are_asked_for_again() -> None:
    class Searches(Service):
        """As ours does with a slow model: beside a guilty row it answers half of the others."""

        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            answer = await super().bulk(rows, timeout_s, *others)
            if any("fail" in orjson.loads(row) for row in rows):
                for place in range(len(rows) // 2, len(rows)):
                    answer.rows[place] = RowNotTried("no time")
            return answer

    service = Searches("v1")
    version = one_endpoint(service)
    given = [orjson.dumps({"row": n} | ({"fail": True} if n == 1 else {})) for n in range(16)]
    found = await version.call(Batch(given, FAR))
    assert answered(found) == [n != 1 for n in range(16)]
    assert service.arrivals == 2
    assert breaker(version) is BreakerState.CLOSED


async def test_a_service_that_never_has_time_for_a_row_is_not_asked_for_ever() -> None:
    service = Service("v1")
    version = one_endpoint(service)
    await version.call(Batch(rows(1), FAR))
    well = service.answer
    service.answer = lambda row: {"error": {"status": 503}} if row["row"] else well(row)
    before = service.arrivals
    assert answered(await version.call(Batch(rows(4), FAR))) == [True, False, False, False]
    assert service.arrivals - before == 2


async def test_while_guilty_rows_are_looked_for_those_that_queued_before_are_called_for() -> None:
    class Searched(Whole):
        def __init__(self) -> None:
            super().__init__("v1")
            self.whole_call, self.halves = asyncio.Event(), asyncio.Event()

        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            if b'"late"' not in rows[0]:
                await (self.whole_call if len(rows) == 4 else self.halves).wait()
            return await super().bulk(rows, timeout_s, *others)

    service = Searched()
    services = {V1: service, V2: Service("v2"), V3: Service("v3")}
    async with build_app(credit_document(), services) as router:
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(router.client.predict(None, {"row": n} | ({"poison": 1} if n == 0 else {})))
                for n in range(4)
            ]
            await settle()
            late = group.create_task(router.client.predict(None, {"row": 9, "late": 1}))
            await settle()
            service.whole_call.set()
            assert (await late).status == 200  # though nobody else has come, and the search goes on
            assert not any(each.done() for each in asked)
            service.halves.set()
        assert sorted([(await each).status for each in asked]) == [200, 200, 200, 502]


async def test_rows_that_the_service_itself_names_as_guilty_open_no_breaker_and_cost_one_further_call() -> (
    None
):
    service = Service("v1")
    version = one_endpoint(service)
    await version.call(Batch(rows(1), FAR))
    before = service.arrivals
    for number in range(20):
        found = await version.call(Batch([orjson.dumps({"row": number, "fail": True})], FAR))
        assert answered(found) == [False]
    assert service.arrivals - before == 2 * 20
    found = await version.call(Batch([orjson.dumps({"row": 1, "fail": n == 2}) for n in range(4)], FAR))
    assert answered(found) == [True, True, False, True]
    assert service.arrivals - before == 2 * 20 + 1  # neighbours that are answered speak for the endpoint
    assert breaker(version) is BreakerState.CLOSED


async def test_an_endpoint_that_answered_just_now_is_not_asked_again_whether_it_works() -> None:
    service = Service("v1")
    version = Endpoints([Endpoint("http://e:1", service)], clock=lambda: 1.0)
    await version.call(Batch(rows(1), FAR))
    for number in range(20):
        await version.call(Batch([orjson.dumps({"row": number, "fail": True})], FAR))
    assert service.arrivals == 1 + 20
    assert breaker(version) is BreakerState.CLOSED


async def test_a_service_whose_model_fails_on_every_row_opens_its_breaker() -> None:
    service = Service("v1")
    version = one_endpoint(service)
    await version.call(Batch(rows(1), FAR))
    service.answer = lambda _row: {"error": {"status": 500}}
    for _ in range(3):
        with pytest.raises(VersionFailed):
            await version.call(Batch(rows(1), FAR))
    assert breaker(version) is BreakerState.OPEN


async def test_guilty_rows_are_looked_for_no_longer_than_until_the_deadline() -> None:
    now = 0.0

    class Slow(Whole):
        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            nonlocal now
            now += 0.010
            return await super().bulk(rows, timeout_s, *others)

    service = Slow("v1")
    version = Endpoints([Endpoint("http://e:1", service)], clock=lambda: now)
    await version.call(Batch(rows(1), 1.0))
    deadline = now + 0.055
    found = await version.call(Batch(rows(256, [0]), deadline))
    assert now < deadline + 0.030  # the calls of one size are made together
    assert answered(found)[128:] == [True] * 128  # what was settled in time stands
    assert isinstance(found[1], VersionFailed)  # and for the rest another version may answer


async def test_a_further_call_for_which_little_time_is_left_is_not_held_against_the_endpoint() -> None:
    now = 0.0

    class Slow(Whole):
        async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
            nonlocal now
            now += min(timeout_s, 0.030)
            if timeout_s < 0.030:
                raise DeadlinePassed("too little time")
            return await super().bulk(rows, timeout_s, *others)

    version = Endpoints([Endpoint("http://e:1", Slow("v1"))], clock=lambda: now)
    await version.call(Batch(rows(1), 1.0))
    for size in (1, 4) * 10:
        with contextlib.suppress(VersionFailed):
            await version.call(Batch(rows(size, range(size)), now + 0.040))
    assert breaker(version) is BreakerState.CLOSED


async def test_an_endpoint_that_fails_while_guilty_rows_are_looked_for_is_charged() -> None:
    service = Whole("v1")
    version = one_endpoint(service)
    await version.call(Batch(rows(1), FAR))

    async def dies(rows: Sequence[bytes], *others: Any) -> BulkAnswer:
        if len(rows) == 2:
            raise DeadlinePassed("gone")
        return await Whole.bulk(service, rows, *others)

    service.bulk = dies  # type: ignore[method-assign]
    for _ in range(3):
        await version.call(Batch(rows(4, [0]), FAR))
    assert version.all[0].last_error == "gone"


async def test_a_call_refused_as_a_whole_still_names_the_row_that_alone_is_refused() -> None:
    service = Service("v1")
    version = one_endpoint(service)
    found = await version.call(Batch([orjson.dumps({"row": n, "refuse": n == 1}) for n in range(3)], FAR))
    assert [type(row) for row in found] == [Answer, RowRefused, Answer]


@pytest.fixture(params=FAILURES, ids=["500", "malformed"])
def foreign(request: pytest.FixtureRequest) -> Callable[[str], Whole]:
    """Makes services that fail as a whole."""
    return lambda version: Whole(version, request.param)


@pytest.mark.parametrize("user", ["u-control", "u-treatment"])
async def test_beside_four_guilty_rows_of_every_five_no_ordinary_request_fails(
    foreign: Callable[[str], Whole], user: str
) -> None:
    v1, v2 = foreign("v1"), foreign("v2")
    numbers = itertools.count()

    async def ask(router: Router, poison: dict[str, Any]) -> int:
        return (await router.client.predict(user, {"row": next(numbers), **poison})).status

    async with build_app(credit_document(), {V1: v1, V2: v2, V3: v1}) as router:
        assert await ask(router, {}) == 200
        for _ in range(60):
            asked = [asyncio.create_task(ask(router, {"poison": 1} if n % 5 else {})) for n in range(10)]
            statuses = await asyncio.gather(*asked)
            assert statuses == [502 if n % 5 else 200 for n in range(10)]
        for version in router.worker.routes["credit"].versions.values():
            assert breaker(version.endpoints) is BreakerState.CLOSED
