"""What a request may cost: bounded before it is read, in turns where it is much."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from router.doors.outcomes import read_in_steps
from router.errors import BodyTooLarge, OutcomesRefused, Overloaded
from router.http.costly import (
    MAX_ELEMENTS,
    SMALL_BYTES,
    Shared,
    Steps,
    Turns,
    at_once,
    count_elements,
    is_costly,
)
from tests.router.conftest import Router
from tests.router.services import Service


class Clock:
    """A clock that stands, until work takes some time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def one_step(work: Callable[[], Any]) -> Steps[Any]:
    yield from ()
    return work()


def test_elements_are_counted_by_what_separates_them() -> None:
    assert count_elements(b'{"a":[1,2,{"b":3}],"c":"x"}') == 9
    assert count_elements(b'"' + b"x" * 100_000 + b'"') == 0


@pytest.mark.parametrize(
    ("body", "costly"),
    [
        (b"[" * SMALL_BYTES, False),
        (b'"' + b"x" * 20_000 + b'"', False),
        (b"[]," * 2000, True),
        (b"x" * 40_000, True),
    ],
    ids=["small", "one text", "many lists", "long"],
)
def test_what_is_costly_follows_from_elements_and_bytes(body: bytes, costly: bool) -> None:
    assert is_costly(body) is costly


@pytest.mark.parametrize("part", [b"[],", b'{"":0},', b"1,", b"[", b'"a":'])
async def test_features_of_too_many_elements_are_refused_before_they_are_read(
    router: Router, part: bytes
) -> None:
    body = b'{"features":{"x":[' + part * MAX_ELEMENTS + b"1]}}"
    response = await router.client.post("/predict/credit", body)
    assert response.status == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert f"at most {MAX_ELEMENTS} are taken" in response.json["detail"]


async def test_outcomes_of_too_many_elements_are_refused_before_they_are_read(router: Router) -> None:
    unknown = {f"{number:03x}": 0 for number in range(140)}
    response = await router.client.post("/outcomes", orjson.dumps({"outcomes": [unknown] * 300}))
    assert response.status == 413
    assert "at most 40000 are taken" in response.json["detail"]
    assert router.counted("ekiben_outcome_refusals_total", reason="invalid") == 1


async def test_a_body_is_not_read_for_a_model_that_does_not_exist(router: Router) -> None:
    assert (await router.client.post("/predict/nope", b"{")).status == 404


async def test_large_features_within_the_limits_are_answered(router: Router) -> None:
    features = {"row": 1, "text": "x" * 100_000, "numbers": list(range(MAX_ELEMENTS - 100))}
    response = await router.client.predict("u-1", features)
    assert response.status == 200
    assert response.json["prediction"]["row"] == 1


def test_no_outcome_is_read_once_nobody_would_be_told_of_it() -> None:
    with pytest.raises(OutcomesRefused) as raised:
        at_once(read_in_steps(orjson.dumps({"outcomes": [{}] * 1000}), 0.0))
    assert len(raised.value.errors) == 101


def test_of_many_unknown_fields_the_first_is_named() -> None:
    with pytest.raises(OutcomesRefused) as raised:
        at_once(read_in_steps(orjson.dumps({"outcomes": [{f"f{n}": 0 for n in range(5000)}]}), 0.0))
    assert [error["loc"][2:] for error in raised.value.errors].count(["f0"]) == 1
    assert len(raised.value.errors) == 4  # and neither id, nor name, nor value


def test_a_thousand_outcomes_are_read_in_twenty_steps() -> None:
    good = {"user_id": "u", "name": "profit", "value": 1}
    steps = read_in_steps(orjson.dumps({"outcomes": [good] * 1000}), 0.0)
    assert sum(1 for _ in steps) == 20


async def test_costly_work_is_done_one_step_at_a_time_in_the_order_it_came() -> None:
    turns, done = Turns(), []

    def work(name: str) -> Steps[str]:
        for step in range(3):
            done.append((name, step))
            yield
        return name

    assert await asyncio.gather(*(turns.run(work(name), 60.0) for name in "abc")) == ["a", "b", "c"]
    assert done == [(name, step) for step in range(3) for name in "abc"]


async def test_after_a_step_the_loop_is_free_of_costly_work_for_three_times_as_long() -> None:
    clock = Clock()
    turns = Turns(clock=clock)

    def takes_a_while() -> None:
        clock.now += 0.05

    await turns.run(one_step(takes_a_while), 60.0)
    began = asyncio.get_running_loop().time()
    await turns.run(one_step(takes_a_while), 60.0)
    assert asyncio.get_running_loop().time() - began >= 0.149


async def test_of_a_crowd_with_costly_work_who_comes_last_is_refused() -> None:
    turns = Turns(max_waiting=2)
    first, second = (asyncio.ensure_future(turns.run(one_step(lambda: 1), 60.0)) for _ in range(2))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await turns.run(one_step(lambda: 1), 60.0)
    assert (await first, await second, turns.waiting) == (1, 1, 0)


async def test_costly_work_that_cannot_be_done_in_time_is_refused_and_holds_nobody_up() -> None:
    turns = Turns()

    def endless() -> Iterator[None]:
        while True:
            yield

    with pytest.raises(Overloaded):
        await turns.run(endless(), 0.02)  # type: ignore[arg-type]
    assert await turns.run(one_step(lambda: 7), 60.0) == 7


async def test_a_step_that_fails_fails_its_request_only() -> None:
    turns = Turns()

    def fails() -> int:
        raise BodyTooLarge("no")

    with pytest.raises(BodyTooLarge):
        await turns.run(one_step(fails), 60.0)
    assert await turns.run(one_step(lambda: 7), 60.0) == 7


async def test_what_many_ask_for_is_made_once_for_all_who_came_before_it_began() -> None:
    made: list[int] = []
    begun, may_go = asyncio.Event(), asyncio.Event()

    async def make() -> int:
        made.append(len(made) + 1)
        begun.set()
        await may_go.wait()
        return made[-1]

    shared = Shared(make)
    first = asyncio.ensure_future(shared.get())
    await begun.wait()
    late = [asyncio.ensure_future(shared.get()) for _ in range(5)]
    await asyncio.sleep(0)
    may_go.set()
    assert await first == 1
    assert await asyncio.gather(*late) == [2] * 5
    assert made == [1, 2]


async def test_what_many_ask_of_metrics_at_once_is_rendered_once(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[bytes] = []
    render = router.worker.metrics.render
    monkeypatch.setattr(router.worker.metrics, "render", lambda: rendered.append(render()) or rendered[-1])
    pages = await asyncio.gather(*(router.client.get("/metrics") for _ in range(5)))
    assert [page.status for page in pages] == [200] * 5
    assert all(b"ekiben_requests_total" in page.body for page in pages)
    assert len(rendered) == 1


async def test_ordinary_requests_are_answered_while_costly_ones_take_turns(router: Router) -> None:
    good = {"user_id": "u", "name": "profit", "value": 1}
    body = orjson.dumps({"outcomes": [good] * 1000})
    costly = [asyncio.ensure_future(router.client.post("/outcomes", body)) for _ in range(4)]
    await asyncio.sleep(0)
    assert router.worker.turns.waiting == 4
    for number in range(3):
        assert (await router.client.predict("u-1", {"row": number})).status == 200
    assert not any(each.done() for each in costly)
    assert {reply.status for reply in await asyncio.gather(*costly)} == {202}


async def test_a_refusal_of_a_service_is_told_up_to_a_hundred_errors(router: Router, v1: Service) -> None:
    errors = [{"loc": [f"f{number}"], "msg": "no"} for number in range(5000)]
    v1.answer = lambda _: {"error": {"status": 422, "errors": errors}}
    response = await router.client.predict("u-control", {"row": 1})
    assert (response.status, len(response.json["errors"])) == (422, 100)
