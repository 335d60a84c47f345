"""Shadow copies: compared, counted, and never in anybody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from router.lanes.answer import OutputFields
from router.lanes.shadow import MAX_SHADOW_QUEUE
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle


@pytest.fixture
async def shadowed(v1: Service, v2: Service, v3: Service) -> AsyncIterator[Router]:
    """Everything that is asked is copied to v3."""
    async with build_app(credit_document(shadow={"v3": 100}), {V1: v1, V2: v2, V3: v3}) as running:
        yield running


def compared(router: Router, agree: str, against: str = "v1", version: str = "v3") -> float:
    return router.counted(
        "ekiben_shadow_comparisons_total", model="credit", version=version, against=against, agree=agree
    )


async def test_a_copy_is_compared_counted_and_recorded(shadowed: Router, v3: Service) -> None:
    reply = (await shadowed.client.predict("u-treatment", {"row": 1})).json
    await settle()
    assert v3.rows == [{"row": 1}]
    assert compared(shadowed, "true", against="v2") == 1
    labels = {"model": "credit", "version": "v3", "against": "v2"}
    assert shadowed.counted("ekiben_shadow_score_difference_sum", **labels) == pytest.approx(0.1)
    (event,) = shadowed.exposures("shadow")
    assert event["prediction_id"] == reply["prediction_id"]
    assert event["event_id"] != reply["prediction_id"]
    assert (event["version"], event["score"], event["user_hash"]) == ("v3", 0.3, "u-treatment")


async def test_a_shadow_event_holds_the_served_answer_too_whoever_asked(
    shadowed: Router, v3: Service
) -> None:
    v3.answer = lambda features: {"ok": {"score": 0.9, "decision": "no" if features["row"] else "yes"}}
    for number in range(2):
        await shadowed.client.predict(None, {"row": number})  # nobody: in no experiment, no exposure
    await settle()
    events = shadowed.exposures("shadow")
    assert [event["agreed"] for event in events] == [True, False]
    served = {(event["against"], event["against_model_version"], event["against_score"]) for event in events}
    assert served == {("v1", "credit_v1:1", 0.1)}
    assert all(0 < event["against_latency_ms"] < 60_000 for event in events)


async def test_answers_with_several_scores_are_as_far_apart_as_the_farthest() -> None:
    several = OutputFields(decision="top", scores="p")
    services = {url: Service(version, several) for url, version in ((V1, "v1"), (V2, "v2"), (V3, "v3"))}
    services[V1].answer = lambda _: {"ok": {"top": "b", "p": {"b": 0.7, "a": 0.3}}}
    services[V3].answer = lambda _: {"ok": {"top": "b", "p": {"a": 0.1, "b": 0.9}}}
    async with build_app(credit_document(shadow={"v3": 100}), services) as router:
        await router.client.predict("u-control", {"row": 1})
        await settle()
        labels = {"model": "credit", "version": "v3", "against": "v1"}
        assert router.counted("ekiben_shadow_score_difference_sum", **labels) == pytest.approx(0.2)
        (event,) = router.exposures("shadow")
        (exposure,) = router.exposures()
    assert (event["scores"], event["against_scores"]) == ((0.1, 0.9), (0.3, 0.7))
    assert (exposure["score"], exposure["scores"], exposure["decision"]) == (None, (0.3, 0.7), "b")


async def test_a_decision_that_differs_is_counted_as_disagreement(shadowed: Router, v3: Service) -> None:
    v3.answer = lambda features: {"ok": {"score": 0.9, "decision": "no"}}
    await shadowed.client.predict("u-control", {"row": 1})
    await settle()
    assert (compared(shadowed, "true"), compared(shadowed, "false")) == (0, 1)


async def test_a_shadow_that_is_new_is_compared_by_its_decision_from_the_first_copy_on(
    router: Router,
) -> None:
    router.adopt(credit_document(shadow={"v3": 100}))
    await router.client.predict("u-control", {"row": 1})
    await settle()
    assert (compared(router, "true"), compared(router, "false")) == (1, 0)


async def test_a_shadow_that_hangs_changes_no_answer(shadowed: Router, v3: Service) -> None:
    v3.hold()
    replies = [await shadowed.client.predict(f"u-{n}", {"row": n}) for n in range(100)]
    assert {reply.status for reply in replies} == {200}
    assert [reply.json["prediction"]["row"] for reply in replies] == list(range(100))
    assert v3.in_flight == 1
    v3.release()


async def test_a_shadow_that_dies_changes_no_answer_and_is_counted(shadowed: Router, v3: Service) -> None:
    v3.die()
    for number in range(20):
        reply = await shadowed.client.predict("u-control", {"row": number})
        assert (reply.status, reply.json["version"]) == (200, "v1")
        assert "fallback_from" not in reply.json
    await settle()
    labels = {"model": "credit", "version": "v3"}
    assert shadowed.counted("ekiben_shadow_failed_total", **labels) == 20


async def test_a_shadow_that_refuses_or_answers_garbage_changes_no_answer(
    shadowed: Router, v3: Service
) -> None:
    v3.answer = lambda features: {"ok": "garbage"} if features["row"] else {"error": {"status": 422}}
    for number in range(2):
        assert (await shadowed.client.predict("u-control", {"row": number})).status == 200
    await settle()
    assert shadowed.counted("ekiben_shadow_failed_total", model="credit", version="v3") == 2


async def test_a_full_shadow_queue_drops_copies_and_counts_them(shadowed: Router, v3: Service) -> None:
    v3.hold()
    await shadowed.client.predict("u-control", {"row": -1})
    await settle()
    copies = MAX_SHADOW_QUEUE + 10
    for number in range(copies):
        assert (await shadowed.client.predict("u-control", {"row": number})).status == 200
    await settle()
    dropped = shadowed.counted("ekiben_shadow_dropped_total", model="credit", version="v3")
    assert dropped >= 10
    v3.release()
    await settle(200)
    assert compared(shadowed, "true") == 1 + copies - dropped


async def test_nothing_is_copied_to_the_version_that_answered(v1: Service, v2: Service, v3: Service) -> None:
    document = credit_document(shadow={"v1": 100, "v2": 100})
    async with build_app(document, {V1: v1, V2: v2, V3: v3}) as router:
        await router.client.predict("u-treatment", {"row": 1})
        await settle()
        assert (len(v1.rows), len(v2.rows)) == (1, 1)  # v2 answered, v1 got the copy
        v2.die()
        reply = (await router.client.predict("u-treatment", {"row": 2})).json
        assert reply["fallback_from"] == "v2"
        await settle()
        assert len(v1.rows) == 2  # v1 answered for v2: no copy came to it
        shadowed = [event["version"] for event in router.exposures("shadow")]
        assert shadowed == ["v1"]


async def test_a_shadow_of_half_the_requests_gets_about_half(v1: Service, v2: Service, v3: Service) -> None:
    async with build_app(credit_document(shadow={"v3": 50}), {V1: v1, V2: v2, V3: v3}) as router:
        draws = iter([0.0, 0.49, 0.5, 0.99])
        router.worker.routes["credit"].shadows[0].draw = lambda: next(draws)
        for number in range(4):
            await router.client.predict("u-control", {"row": number})
        await settle()
        assert v3.rows == [{"row": 0}, {"row": 1}]


async def test_copies_do_not_take_the_place_of_requests_in_the_versions_own_lane(
    v1: Service, v2: Service, v3: Service
) -> None:
    document = credit_document(shadow={"v2": 100})
    async with build_app(document, {V1: v1, V2: v2, V3: v3}) as router:
        v2.hold()
        await router.client.predict("u-control", {"row": 1})  # its copy hangs
        asked = asyncio.create_task(router.client.predict("u-treatment", {"row": 2}))
        await settle()
        assert v2.in_flight == 2
        v2.release()
        assert (await asked).json["version"] == "v2"
