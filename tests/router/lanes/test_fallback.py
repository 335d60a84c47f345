"""When a version fails: live answers in its place, in time, and nothing stands in for live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from router.errors import DeadlinePassed, VersionFailed, VersionMalformed, VersionUnavailable
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle, until


@pytest.fixture
async def hasty(v1: Service, v2: Service, v3: Service) -> AsyncIterator[Router]:
    """As `router`, with a time-out of 1 s: half of it for a version that is not live."""
    async with build_app(credit_document(timeout_ms=1000), {V1: v1, V2: v2, V3: v3}) as running:
        yield running


@pytest.mark.parametrize(
    "failure",
    [
        VersionUnavailable("connection refused"),
        VersionMalformed("not JSON"),
        VersionUnavailable("status 500"),
    ],
    ids=["unreachable", "malformed", "5xx"],
)
async def test_when_the_treatment_fails_everyone_gets_200_from_live(
    router: Router, v2: Service, failure: VersionFailed
) -> None:
    assert (await router.client.predict("u-treatment", {"row": 0})).json["version"] == "v2"
    v2.failure = failure  # in the middle of the run
    replies = await asyncio.gather(*(router.client.predict("u-treatment", {"row": n}) for n in range(1, 200)))
    for number, reply in enumerate(replies, start=1):
        assert reply.status == 200
        assert reply.json["version"] == "v1"
        assert reply.json["fallback_from"] == "v2"
        assert reply.json["model_version"] == "credit_v1:1"
        assert reply.json["variant"] == "treatment"
        assert reply.json["prediction"]["row"] == number
        assert reply.json["prediction"]["by"] == "v1"


async def test_a_treatment_that_hangs_is_left_after_half_the_time_and_live_answers(
    hasty: Router, v2: Service
) -> None:
    v2.hold()
    reply = await hasty.client.predict("u-treatment", {"row": 1})
    assert reply.status == 200
    assert (reply.json["version"], reply.json["fallback_from"]) == ("v1", "v2")
    v2.release()


async def test_who_falls_back_has_time_for_a_second_endpoint_of_live(v1: Service, v2: Service) -> None:
    hangs, urls = Service("v1"), ["http://hangs:1", "http://works:1"]
    document = credit_document(versions={"v1": {"endpoints": urls}, "v2": {"endpoints": [V2]}})
    async with build_app(document, {urls[0]: hangs, urls[1]: v1, V2: v2}) as router:
        lane = router.worker.routes["credit"].versions["v1"].lane
        lane.endpoints.draw = lambda: 0.0  # of two that are alike the first is chosen
        hangs.hold()
        now = time.monotonic()
        own = [lane.submit(b'{"row":%d}' % row, f"own-{row}", now + 1.2) for row in range(3)]
        fallen = [
            lane.submit(b'{"row":%d}' % row, f"fallen-{row}", now + 0.6, hurried=True) for row in range(3)
        ]
        served = await asyncio.gather(*own, *fallen)
        assert {each.answer.model_version for each in served} == {"credit_v1:1"}
        assert sorted(len(call) for call in v1.calls) == [3, 3]
        hangs.release()


async def test_who_falls_back_late_shares_no_call_with_those_who_have_time(v1: Service, v2: Service) -> None:
    other, urls = Service("v1"), ["http://v1:1", "http://other:1"]
    versions = {"v1": {"endpoints": urls}, "v2": {"endpoints": [V2]}}
    document = credit_document(timeout_ms=3000, versions=versions)
    async with build_app(document, {urls[0]: v1, urls[1]: other, V2: v2}) as router:
        lane = router.worker.routes["credit"].versions["v1"].lane
        for service in (v1, other, v2):
            service.hold()
        asked = [asyncio.create_task(router.client.predict("u-treatment", {"row": 1}))]
        for row in (2, 3):
            asked.append(asyncio.create_task(router.client.predict(None, {"row": row})))
            await settle()
        await asyncio.sleep(0.8)
        v2.failure = VersionUnavailable("status 500")
        v2.release()
        asked.append(asyncio.create_task(router.client.predict(None, {"row": 4})))
        await until(lambda: lane.waiting.queued == 2)
        for service in (v1, other):
            service.release()
        assert {reply.status for reply in await asyncio.gather(*asked)} == {200}
        assert [len(call) for call in v1.calls + other.calls] == [1, 1, 1, 1]


async def test_a_row_that_is_tried_again_shares_no_call_with_those_who_have_time(
    v1: Service, v2: Service
) -> None:
    other, urls = Service("v1"), ["http://v1:1", "http://other:1"]
    document = credit_document(versions={"v1": {"endpoints": urls}, "v2": {"endpoints": [V2]}})
    async with build_app(document, {urls[0]: v1, urls[1]: other, V2: v2}) as router:
        lane = router.worker.routes["credit"].versions["v1"].lane
        for service in (v1, other):
            service.hold()
        now = time.monotonic()
        out = [lane.submit(b'{"row":1}', "1", now + 4.0)]
        await settle()
        late = lane.submit(b'{"row":2}', "2", now + 0.4)
        await settle()
        out.append(lane.submit(b'{"row":2}', "2", now + 3.0))  # joins what is out already
        out.append(lane.submit(b'{"row":3}', "3", now + 4.0))
        with pytest.raises(DeadlinePassed):
            await late
        await until(lambda: lane.waiting.queued == 1)  # one of two is out: one more call may go
        for service in (v1, other):
            service.release()
        assert {each.answer.model_version for each in await asyncio.gather(*out)} == {"credit_v1:1"}
        assert {len(call) for call in v1.calls + other.calls} == {1}


async def test_when_live_is_dead_too_it_is_502(router: Router, v1: Service, v2: Service) -> None:
    v1.die()
    v2.die()
    for number in range(10):
        response = await router.client.predict("u-treatment", {"row": number})
        assert response.status == 502
        assert response.headers["content-type"] == "application/problem+json"


async def test_nothing_stands_in_for_a_failed_live(router: Router, v1: Service, v2: Service) -> None:
    v1.die()
    assert (await router.client.predict("u-control", {"row": 1})).status == 502
    assert (await router.client.predict(None, {"row": 1})).status == 502
    assert v2.calls == []


async def test_when_both_hang_it_is_504_and_not_much_later_than_the_deadline(
    hasty: Router, v1: Service, v2: Service
) -> None:
    v1.hold()
    v2.hold()
    began = time.monotonic()
    response = await hasty.client.predict("u-treatment", {"row": 1})
    assert response.status == 504
    assert 0.9 < time.monotonic() - began < 5
    v1.release()
    v2.release()


async def test_a_refused_row_never_falls_back(router: Router, v1: Service) -> None:
    response = await router.client.predict("u-treatment", {"row": 1, "refuse": True})
    assert response.status == 422
    assert v1.calls == []


async def test_a_refused_row_is_recorded_as_refused_and_is_no_error(router: Router) -> None:
    await router.client.predict("u-treatment", {"row": 1, "refuse": True})
    (exposure,) = router.exposures()
    expected = {"variant": "treatment", "version": "v2", "result": "refused", "status": 422}
    assert {key: exposure[key] for key in expected} == expected
    labels = {"model": "credit", "version": "v2"}
    assert router.counted("ekiben_requests_total", **labels, result="refused") == 1
    assert router.counted("ekiben_requests_total", **labels, result="error") == 0


async def test_a_row_that_only_the_treatment_fails_on_falls_back_alone(
    router: Router, v1: Service, v2: Service
) -> None:
    v1.answer = lambda features: {"ok": {"score": 0.1, "decision": "no", "by": "v1"}}
    good, bad = await asyncio.gather(
        router.client.predict("u-treatment", {"row": 1}),
        router.client.predict("u-treatment", {"row": 2, "fail": True}),
    )
    assert (good.json["version"], "fallback_from" in good.json) == ("v2", False)
    assert (bad.json["version"], bad.json["fallback_from"]) == ("v1", "v2")


async def test_an_open_breaker_falls_back_without_asking(router: Router, v2: Service) -> None:
    v2.die()
    for number in range(10):
        assert (await router.client.predict("u-treatment", {"row": number})).status == 200
    # Three failures open it; nobody waits for the dead one any more.
    assert v2.arrivals == 3


async def test_a_fallback_is_recorded_by_assignment(router: Router, v2: Service) -> None:
    v2.die()
    await router.client.predict("u-treatment", {"row": 1})
    (exposure,) = router.exposures()
    expected = {"variant": "treatment", "version": "v1", "result": "fallback", "status": 200}
    assert {key: exposure[key] for key in expected} == expected
    labels = {"model": "credit", "version": "v2", "result": "fallback"}
    assert router.counted("ekiben_requests_total", **labels) == 1


async def test_a_failure_of_both_is_recorded_as_an_error_of_the_assigned_version(
    router: Router, v1: Service, v2: Service
) -> None:
    v1.die()
    v2.die()
    await router.client.predict("u-treatment", {"row": 1})
    (exposure,) = router.exposures()
    expected = {"variant": "treatment", "version": "v2", "result": "error", "status": 502, "score": None}
    assert {key: exposure[key] for key in expected} == expected


async def test_who_asks_during_a_call_that_hangs_is_answered_by_the_next_one(
    hasty: Router, v1: Service
) -> None:
    """An identical row joins the call that is out; when that runs out of time, the joiner has time left."""
    v1.hold()
    first = asyncio.create_task(hasty.client.predict("u-control", {"row": 1}))
    await settle()
    await asyncio.sleep(0.5)
    second = asyncio.create_task(hasty.client.predict("u-control", {"row": 1}))
    assert (await first).status == 504
    v1.release()
    assert (await second).status == 200


async def test_a_retry_goes_to_another_endpoint_of_the_version(v1: Service, v2: Service) -> None:
    dead = Service("v1")
    dead.die()
    other = "http://v1b:1"
    document = credit_document({"v1": [V1, other]})
    async with build_app(document, {V1: v1, other: dead, V2: v2, V3: v2}) as router:
        for number in range(40):
            assert (await router.client.predict("u-control", {"row": number})).status == 200
        assert dead.arrivals <= 4


async def test_the_panic_switch_sends_everyone_to_live_outside_experiments(
    router: Router, v2: Service
) -> None:
    for names in ({"credit"}, {"*"}):
        router.worker.panic(frozenset(names))
        reply = (await router.client.predict("u-treatment", {"row": 1})).json
        assert (reply["version"], reply["variant"], reply["experiment"]) == ("v1", None, None)
    assert v2.calls == []
    router.worker.panic(frozenset({"another"}))
    assert (await router.client.predict("u-treatment", {"row": 1})).json["version"] == "v2"
