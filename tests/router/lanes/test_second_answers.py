"""The second answers that `only_where` compares: for the experiment's users, waited for, never given out."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.state.streams.events import Prediction
from router.lanes.dialects.dialect import BulkAnswer
from tests.router.conftest import Router, build_app
from tests.router.documents import EXPERIMENT, V1, V2, V3, credit
from tests.router.services import Service
from tests.waiting import settle

METRIC = {"name": "profit", "outcome": "profit", "kind": "mean", "only_where": "decisions_differ"}


def document(experiment: dict[str, Any] | None = None, **model: Any) -> Document:
    """Half of all users take part in an experiment that compares only where decisions differ."""
    told = {"metrics": [METRIC], "coverage": 50, "overrides": {}} | (experiment or {})
    return parse_document(credit(experiment=told, **model))


@pytest.fixture
async def comparing(v1: Service, v2: Service, v3: Service) -> AsyncIterator[Router]:
    async with build_app(document(), {V1: v1, V2: v2, V3: v3}) as running:
        yield running


async def ask(router: Router, users: range, row: int | None = None) -> list[dict[str, Any]]:
    """The exposures of so many users with a row each."""
    for number in users:
        reply = await router.client.predict(f"u-{number}", {"row": number if row is None else row})
        assert reply.status == 200
    return router.exposures()


def answered(router: Router) -> dict[object, tuple[object, ...]]:
    """By prediction the second answer's version, the served one's, and the experiment."""
    events = router.exposures("shadow")
    assert len({event["event_id"] for event in events}) == len(events)
    keys = ("version", "against", "experiment", "phase")
    return {event["prediction_id"]: tuple(event[key] for key in keys) for event in events}


def lost(router: Router, version: str, reason: str) -> float:
    return router.counted("ekiben_second_answers_lost_total", model="credit", version=version, reason=reason)


async def test_both_versions_answer_for_the_experiments_users_and_for_nobody_else(comparing: Router) -> None:
    exposures = await ask(comparing, range(100))
    await settle()
    found = answered(comparing)
    assert 25 < len(exposures) < 75  # half of the users take part
    assert found == {
        event["prediction_id"]: ("v2" if event["version"] == "v1" else "v1", event["version"], EXPERIMENT, 1)
        for event in exposures
    }


async def test_an_event_holds_both_decisions(comparing: Router, v2: Service) -> None:
    v2.answer = lambda features: {"ok": {"score": 0.9, "decision": "no" if features["row"] % 2 else "yes"}}
    exposures = {event["prediction_id"]: event for event in await ask(comparing, range(40))}
    await settle()
    for event in comparing.exposures("shadow"):
        served = exposures[event["prediction_id"]]
        assert event["against_decision"] == served["decision"]
        assert event["agreed"] is (event["decision"] == served["decision"])
    assert {event["agreed"] for event in comparing.exposures("shadow")} == {True, False}


async def test_a_control_user_has_answers_of_all_treatments_and_a_treated_one_the_controls(
    v1: Service, v2: Service, v3: Service
) -> None:
    variants = {
        name: {"version": f"v{n}", "weight": w}
        for n, (name, w) in enumerate((("a", 50), ("b", 25), ("c", 25)), 1)
    }
    told = document({"variants": variants, "coverage": 100})
    async with build_app(told, {V1: v1, V2: v2, V3: v3}) as router:
        exposures = await ask(router, range(60))
        await settle()
        found: dict[object, set[object]] = {}
        for event in router.exposures("shadow"):
            found.setdefault(event["prediction_id"], set()).add(event["version"])
    beside = {"a": {"v2", "v3"}, "b": {"v1"}, "c": {"v1"}}
    assert found == {event["prediction_id"]: beside[str(event["variant"])] for event in exposures}


async def test_what_live_answered_in_a_versions_place_has_that_versions_answer_once_it_comes(
    comparing: Router, v2: Service
) -> None:
    v2.die()
    exposures = await ask(comparing, range(40))
    fallen = {event["prediction_id"] for event in exposures if event["result"] == "fallback"}
    assert fallen
    v2.failure = None
    await asyncio.sleep(1.2)
    await settle()
    assert answered(comparing).keys() == {event["prediction_id"] for event in exposures}
    assert all(answered(comparing)[each][:2] == ("v2", "v1") for each in fallen)


class Patient(Service):
    """A service whose calls end by no clock of the machine, however busy that is."""

    async def bulk(self, rows: Sequence[bytes], timeout_s: float, *others: Any) -> BulkAnswer:
        return await super().bulk(rows, 3600.0, *others)


async def test_under_a_load_that_makes_shadows_drop_every_request_has_both_answers(v1: Service) -> None:
    told = document({"coverage": 100}, shadow={"v3": 100})
    v2, v3 = Patient("v2"), Patient("v3")
    async with build_app(told, {V1: v1, V2: v2, V3: v3}, clock=lambda: 0.0) as router:
        for service in (v2, v3):
            service.hold()  # a stall of both
        users = (n for n in range(10**6) if router.worker.routes["credit"].assign(f"u-{n}").version == "v1")
        for number in itertools.islice(users, 130):  # 13 MB, for which no lane has room
            row = {"row": number, "text": "x" * 100_000}
            assert (await router.client.predict(f"u-{number}", row)).status == 200
        for service in (v2, v3):
            service.release()
        await asyncio.sleep(0.2)  # a lane that had no room is looked at every 50 ms
        await settle(200)
        assert router.counted("ekiben_shadow_dropped_total", model="credit", version="v3") > 0
        both = [event for event in router.exposures("shadow") if event["experiment"] is not None]
        assert len(both) == len(router.exposures())


@pytest.mark.parametrize(("without", "kept"), [([], True), (["income"], False)])
async def test_what_has_no_answer_in_five_seconds_is_counted_and_its_row_recorded_where_it_may_be(
    v1: Service, v2: Service, v3: Service, without: list[str], kept: bool
) -> None:
    now = [0.0]
    told = document({"coverage": 100}, capture={"per_second": 1, "without": without})
    async with build_app(told, {V1: v1, V2: v2, V3: v3}, clock=lambda: now[0]) as router:
        v2.die()
        exposures = await ask(router, range(20))
        now[0] += 5.0
        await asyncio.sleep(0.6)  # what failed is asked again after half a second
        missing = {each["prediction_id"] for each in exposures} - answered(router).keys()
        assert lost(router, "v2", "late") + lost(router, "v2", "failed") == len(missing) == 20
    rows = [each for each in router.events.held if isinstance(each, Prediction) and each.unanswered_by]
    assert {each.prediction_id for each in rows} == (missing if kept else set())
    for row in rows:
        assert (row.depth, row.version, row.unanswered_by) == ("unanswered", "v1", "v2")
        assert (row.decision, str(row.features)[:7]) == ("yes", '{"row":')


async def test_a_row_that_the_other_version_refuses_is_lost_at_once(comparing: Router, v2: Service) -> None:
    v2.answer = lambda features: {"error": {"status": 422, "errors": []}}
    for number in range(40):
        await comparing.client.predict(f"u-{number}", {"row": number})
    await settle()
    served_by_v1 = [each for each in comparing.exposures() if each["result"] == "served"]
    assert lost(comparing, "v2", "refused") == len(served_by_v1) > 0
    assert not comparing.exposures("shadow")


async def test_other_shadows_are_asked_once_and_by_chance_as_before(
    v1: Service, v2: Service, v3: Service
) -> None:
    async with build_app(document(shadow={"v2": 100, "v3": 100}), {V1: v1, V2: v2, V3: v3}) as router:
        exposures = {event["prediction_id"] for event in await ask(router, range(60))}
        await settle()
        events = router.exposures("shadow")
        assert len({each["event_id"] for each in events}) == len(events)
        outside = [each for each in events if each["prediction_id"] not in exposures]
        assert {each["experiment"] for each in outside} == {None}
        assert sum(each["version"] == "v3" for each in events) == 60
