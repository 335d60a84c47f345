"""Batches: concurrent requests share calls, and nobody pays for his neighbour."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
import pytest

from router.errors import BulkRefused
from router.lanes.dialects.dialect import BulkAnswer
from router.lanes.waiting import MAX_BYTES, MAX_ROWS
from tests.router.client import Response
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle, until


def ask(router: Router, row: Any, user: str | None = None, **features: Any) -> asyncio.Task[Response]:
    """Send a request that is answered by live."""
    return asyncio.create_task(router.client.predict(user, {"row": row, **features}))


async def held(router: Router, service: Service) -> asyncio.Task[Response]:
    """Hold the service with a first call out, so that what is asked next has to queue."""
    service.hold()
    first = ask(router, "first")
    await settle()
    assert service.arrivals == 1
    return first


async def test_requests_that_queue_while_a_call_is_out_share_the_next_one(
    router: Router, v1: Service
) -> None:
    first = await held(router, v1)
    others = [ask(router, row) for row in range(100)]
    await settle()
    v1.release()
    replies = await asyncio.gather(first, *others)
    assert [len(call) for call in v1.calls] == [1, 100]
    assert [reply.json["prediction"]["row"] for reply in replies] == ["first", *range(100)]


async def test_a_lone_request_is_called_at_once(router: Router, v1: Service) -> None:
    assert (await ask(router, 1)).status == 200
    assert [len(call) for call in v1.calls] == [1]


async def test_requests_of_one_turn_of_the_event_loop_share_one_call(router: Router, v1: Service) -> None:
    replies = await asyncio.gather(*(ask(router, row) for row in range(50)))
    assert {reply.status for reply in replies} == {200}
    assert [len(call) for call in v1.calls] == [50]


async def test_identical_rows_in_flight_share_one_row(router: Router, v1: Service) -> None:
    first = await held(router, v1)
    same = [ask(router, "same", user=f"u-{number}") for number in range(40)] + [ask(router, "other")]
    await settle()
    again = ask(router, "first")  # the one that is out already
    await settle()
    v1.release()
    replies = await asyncio.gather(first, again, *same)
    assert {reply.status for reply in replies} == {200}
    live = [row["row"] for row in v1.rows]
    assert live == ["first", "same", "other"]
    assert len({reply.json["prediction_id"] for reply in replies}) == len(replies)


async def test_no_call_has_more_than_256_rows(router: Router, v1: Service) -> None:
    first = await held(router, v1)
    others = [ask(router, row) for row in range(600)]
    await settle(300)
    v1.release()
    replies = await asyncio.gather(first, *others)
    assert [len(call) for call in v1.calls] == [1, MAX_ROWS, MAX_ROWS, 600 - 2 * MAX_ROWS]
    assert [reply.json["prediction"]["row"] for reply in replies[1:]] == list(range(600))


async def test_no_call_has_more_than_4_mib(router: Router, v1: Service) -> None:
    first = await held(router, v1)
    others = [ask(router, row, text="x" * 900_000) for row in range(11)]
    lane = router.worker.routes["credit"].versions["v1"].lane
    await until(lambda: lane.waiting.queued == 11)  # large bodies are read one after the other
    v1.release()
    replies = await asyncio.gather(first, *others)
    assert {reply.status for reply in replies} == {200}
    assert max(v1.bytes) <= MAX_BYTES
    assert [len(call) for call in v1.calls] == [1, 4, 4, 3]


@pytest.mark.parametrize(("endpoints", "workers"), [(1, 1), (1, 3), (2, 2)])
async def test_no_more_calls_are_in_flight_than_the_endpoints_have_workers(
    v1: Service, endpoints: int, workers: int
) -> None:
    urls = [f"http://v1:{number + 1}" for number in range(endpoints)]
    version = {"endpoints": urls, "workers": workers}
    document = credit_document(versions={"v1": version, "v2": {"endpoints": [V2]}})
    capacity = endpoints * workers
    async with build_app(document, dict.fromkeys(urls, v1) | {V2: v1}) as router:
        v1.hold()
        asked: list[asyncio.Task[Response]] = []
        for row in range(capacity + 5):
            asked.append(ask(router, row))
            await settle()
        assert v1.in_flight == capacity
        v1.release()
        replies = await asyncio.gather(*asked)
        assert {reply.status for reply in replies} == {200}
        assert v1.most_in_flight == capacity
        assert [len(call) for call in v1.calls] == [1] * capacity + [5]


async def test_one_refused_row_is_422_and_its_neighbours_200(router: Router, v1: Service) -> None:
    first = await held(router, v1)
    others = [ask(router, row, refuse=row == 5) for row in range(10)]
    await settle()
    v1.release()
    replies = await asyncio.gather(first, *others)
    assert [reply.status for reply in replies[1:]] == [200] * 5 + [422] + [200] * 4
    assert [len(call) for call in v1.calls] == [1, 10]


async def test_one_row_that_the_service_fails_on_costs_its_neighbours_nothing(
    router: Router, v1: Service
) -> None:
    first = await held(router, v1)
    others = [ask(router, row, fail=row == 5) for row in range(10)]
    await settle()
    v1.release()
    replies = await asyncio.gather(first, *others)
    assert [reply.status for reply in replies[1:]] == [200] * 5 + [502] + [200] * 4


async def test_a_malformed_answer_to_one_row_costs_its_neighbours_nothing(
    router: Router, v1: Service
) -> None:
    deep: Any = []
    for _ in range(500):  # orjson reads this, and will not write it
        deep = [deep]
    odd = [
        {"ok": {"decision": "yes"}},
        {"ok": {"score": "0.5", "decision": "yes"}},
        {"ok": {"score": 0.5, "decision": None}},
        {"ok": []},
        {"ok": {"score": 0.5, "decision": "yes", "deep": deep}},
        {"error": {"status": 422, "errors": "no list"}},
        {"error": {"status": 422, "errors": [{"loc": ["a", deep], "msg": "no"}]}},
        {"error": {"status": 422, "errors": [{"loc": ["a"], "msg": None}]}},
        {"error": {"status": 422, "errors": ["no object"]}},
    ]
    good = v1.answer

    def answer(features: dict[str, Any]) -> dict[str, Any]:
        row = features["row"]
        return good(features) if type(row) is not int or row % 2 == 0 else odd[row // 2]

    v1.answer = answer
    first = await held(router, v1)
    others = [ask(router, row) for row in range(2 * len(odd))]
    await settle()
    v1.release()
    replies = await asyncio.gather(first, *others)
    assert [reply.status for reply in replies[1:]] == [200, 502] * len(odd)


async def test_of_a_refusal_only_place_and_message_are_passed_on(router: Router, v1: Service) -> None:
    error = {"loc": ["row", 0], "msg": "no", "input": "what the client sent"}
    v1.answer = lambda features: {"error": {"status": 422, "errors": [error]}}
    response = await ask(router, 1)
    assert response.json["errors"] == [{"loc": ["row", 0], "msg": "no"}]


async def test_a_client_that_leaves_costs_the_others_of_its_batch_nothing(
    router: Router, v1: Service
) -> None:
    first = await held(router, v1)
    others = [ask(router, row) for row in range(20)]
    shared = [ask(router, "shared") for _ in range(3)]
    await settle()
    leavers = [first, others[3], others[17], shared[0]]  # of the call that is out, of the next one
    for leaver in leavers[:2]:
        leaver.cancel()
    await settle()
    for leaver in leavers[2:]:
        leaver.cancel()
    v1.release()
    staying = [task for task in others + shared if task not in leavers]
    replies = await asyncio.gather(*staying)
    assert {reply.status for reply in replies} == {200}
    assert [reply.json["prediction"]["row"] for reply in replies] == [
        *(row for row in range(20) if row not in (3, 17)),
        "shared",
        "shared",
    ]
    for leaver in leavers:
        with contextlib.suppress(asyncio.CancelledError):
            await leaver


async def test_nobody_is_called_for_a_row_whose_clients_have_all_left(router: Router, v1: Service) -> None:
    first = await held(router, v1)
    gone = [ask(router, "gone") for _ in range(3)]
    stays = ask(router, "stays")
    await settle()
    for task in gone:
        task.cancel()
    await settle()
    v1.release()
    await asyncio.gather(first, stays)
    assert [row["row"] for row in v1.rows] == ["first", "stays"]
    assert (await ask(router, "gone")).status == 200  # and who comes later is served


async def test_a_client_that_leaves_before_the_answer_leaves_nothing_behind(
    router: Router, v1: Service
) -> None:
    first = await held(router, v1)
    first.cancel()
    await settle()
    v1.release()
    await settle()
    lane = router.worker.routes["credit"].versions["v1"].lane
    assert (len(lane._tasks), lane.waiting.queued, len(lane.waiting._rows)) == (0, 0, 0)


async def test_hostile_rows_inside_a_burst_are_400_and_cost_nobody_anything(
    router: Router, v1: Service
) -> None:
    hostile = [
        b"1e999",
        b"9" * 5000,
        b'"\xff\xfe"',
        b"[" * 900 + b"]" * 900,
        b"NaN",
        b'"\\ud800"',
        b"[" * 300 + b"]" * 300,
    ]
    first = await held(router, v1)
    good = [ask(router, row) for row in range(50)]
    bad = [
        asyncio.create_task(router.client.post("/predict/credit", b'{"features":{"row":' + each + b"}}"))
        for each in hostile
    ]
    good += [ask(router, row) for row in range(50, 100)]
    await settle()
    v1.release()
    replies = await asyncio.gather(first, *good)
    assert [reply.json["prediction"]["row"] for reply in replies[1:]] == list(range(100))
    assert [(await task).status for task in bad] == [400] * len(hostile)
    assert [len(call) for call in v1.calls] == [1, 100]


async def test_a_call_refused_as_a_whole_is_split_until_the_bad_row_stands_alone(
    router: Router, v1: Service
) -> None:
    answer = v1.bulk

    async def bulk(rows: list[bytes], *others: Any) -> BulkAnswer:
        if any(orjson.loads(row)["row"] == 13 for row in rows):
            await v1.gate.wait()
            raise BulkRefused("the service refused the call with status 400")
        return await answer(rows, *others)

    v1.bulk = bulk  # type: ignore[method-assign, assignment]
    first = await held(router, v1)
    others = [ask(router, row) for row in range(64)]
    await settle()
    v1.release()
    replies = await asyncio.gather(first, *others)
    assert [reply.status for reply in replies[1:]] == [422 if row == 13 else 200 for row in range(64)]
    assert router.worker.routes["credit"].versions["v1"].endpoints.all[0].breaker.state.name == "CLOSED"


async def test_a_request_that_cannot_make_its_deadline_is_refused_at_the_door(v1: Service) -> None:
    now = 1000.0
    document = credit_document(timeout_ms=60_000)
    async with build_app(document, {V1: v1, V2: v1, V3: v1}, clock=lambda: now) as router:
        v1.hold()
        first = ask(router, "first")
        await settle()
        now += 200.0  # calls take longer here than anybody behind a full batch can wait
        v1.release()
        assert (await first).status == 200
        v1.hold()
        out = ask(router, "out")
        await settle()
        waiting = [ask(router, row) for row in range(MAX_ROWS)]  # a full batch is always taken
        await settle(300)
        hopeless = await asyncio.wait_for(ask(router, "late"), 10)
        assert hopeless.status == 503
        assert int(hopeless.headers["retry-after"]) >= 1
        v1.release()
        assert {reply.status for reply in await asyncio.gather(out, *waiting)} == {200}


async def test_rows_and_calls_are_counted(router: Router) -> None:
    await asyncio.gather(*(ask(router, row) for row in range(5)))
    labels = {"model": "credit", "version": "v1"}
    assert router.counted("ekiben_batch_rows_count", **labels) == 1
    assert router.counted("ekiben_batch_rows_sum", **labels) == 5
    assert router.counted("ekiben_call_seconds_count", **labels) == 1
    assert router.counted("ekiben_requests_total", **labels, result="served") == 5


async def test_a_bulk_call_belongs_to_the_traces_of_all_it_is_made_for(router: Router, v1: Service) -> None:
    given: list[list[bytes]] = []
    answer = v1.bulk

    async def bulk(rows: list[bytes], *others: Any) -> BulkAnswer:
        given.append(list(others[-1]))
        return await answer(rows, *others)

    v1.bulk = bulk  # type: ignore[method-assign, assignment]
    headers = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    await asyncio.gather(
        *(router.client.predict(None, {"row": row}, traceparent=header) for row, header in enumerate(headers))
    )
    assert sorted(parent for parents in given for parent in parents) == [each.encode() for each in headers]
