"""A model whose service hangs costs its own clients their answers, and another model's clients nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from router.lanes.probes import run_probes
from tests.router.client import Response
from tests.router.conftest import Router, build_app
from tests.router.services import Service
from tests.waiting import settle, until

HUNG, WELL = "http://hung:1", "http://well:1"
MEGABYTE = "x" * 1_000_000
LARGE = 1024 * 1024


def two_models(**hung: Any) -> Document:
    hung = {"live": "v1", "timeout_ms": 60_000, "versions": {"v1": {"endpoints": [HUNG]}}, **hung}
    well = {"live": "v1", "timeout_ms": 60_000, "versions": {"v1": {"endpoints": [WELL]}}}
    return parse_document({"models": {"hung": hung, "well": well}})


def ask(router: Router, model: str, row: Any, **features: Any) -> asyncio.Task[Response]:
    return asyncio.create_task(router.client.predict(None, {"row": row, **features}, model=model))


async def test_rows_before_a_hung_service_are_bounded_in_bytes_and_another_model_has_all_of_its_own() -> None:
    hung, well = Service("v1"), Service("v1")
    async with build_app(two_models(), {HUNG: hung, WELL: well}, max_body_bytes=2 * LARGE) as router:
        hung.hold()
        waiting = [ask(router, "hung", row, text=MEGABYTE) for row in range(50)]
        await until(lambda: sum(task.done() for task in waiting) > 10)
        refused = [await task for task in waiting if task.done()]
        assert {response.status for response in refused} == {503}
        assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
        lane = router.worker.routes["hung"].versions["v1"].lane
        assert lane.waiting.budget.held <= lane.waiting.budget.limit <= 32 * LARGE
        others = [ask(router, "well", row, text=MEGABYTE) for row in range(5)]
        assert {response.status for response in await asyncio.gather(*others)} == {200}
        hung.release()
        statuses = [response.status for response in await asyncio.gather(*waiting)]
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 25
        assert lane.waiting.budget.held == 0


async def test_many_who_wait_for_one_and_the_same_row_are_bounded_in_bytes_too() -> None:
    hung, well = Service("v1"), Service("v1")
    async with build_app(two_models(), {HUNG: hung, WELL: well}, max_body_bytes=2 * LARGE) as router:
        hung.hold()
        waiting = [ask(router, "hung", "same", text=MEGABYTE) for _ in range(45)]
        await until(lambda: any(task.done() for task in waiting))
        assert {(await task).status for task in waiting if task.done()} == {503}
        hung.release()
        await asyncio.gather(*waiting)
        assert router.worker.routes["hung"].versions["v1"].lane.waiting.budget.held == 0


async def test_probes_of_a_hung_service_keep_no_other_model_waiting() -> None:
    hung, well = Service("v1"), Service("v1")
    gate = asyncio.Event()

    async def hangs(_timeout_s: float) -> Any:
        await gate.wait()
        raise AssertionError("nobody lets it go")

    hung.info = hangs  # type: ignore[method-assign]
    async with build_app(two_models(), {HUNG: hung, WELL: well}, probed=False) as router:

        async def resolve(_routes: object) -> None:
            await settle(1)

        probing = asyncio.create_task(run_probes(lambda: router.worker.routes, resolve, round_s=0.01))
        endpoint = router.worker.routes["well"].versions["v1"].endpoints.all[0]
        for tag in ("credit_v1:2", "credit_v1:3"):
            well.model_version = tag
            await until(lambda tag=tag: endpoint.info is not None and endpoint.info.model_version == tag)  # type: ignore[misc]
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)


async def test_everyone_of_another_model_is_answered_while_a_service_hangs_and_its_queue_is_full() -> None:
    hung, well, shadow = Service("v1"), Service("v1"), Service("v2")
    services = {HUNG: hung, WELL: well, "http://hung-shadow:1": shadow}
    versions = {"v1": {"endpoints": [HUNG]}, "v2": {"endpoints": ["http://hung-shadow:1"]}}
    async with build_app(two_models(versions=versions, shadow={"v2": 100}), services) as router:
        hung.hold()
        shadow.hold()
        waiting = [ask(router, "hung", row, text="x" * 30_000) for row in range(1000)]
        await until(lambda: any(task.done() for task in waiting))
        for number in range(5):
            others = [ask(router, "well", (number, row)) for row in range(20)]
            replies = await asyncio.wait_for(asyncio.gather(*others), 30)
            assert {reply.status for reply in replies} == {200}
        assert {task.result().status for task in waiting if task.done()} == {503}
        hung.release()
        shadow.release()
        statuses = [reply.status for reply in await asyncio.gather(*waiting)]
        assert statuses.count(200) >= 500
