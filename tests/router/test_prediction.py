"""One prediction, whatever door it came by: one ask and many, pinned versions, attributes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from ekiben.experiments.snapshot import Assignment, Attributes, Plan
from router.doors.envelope import row_digest
from router.errors import RouterError, RowRefused, UnknownName
from router.prediction import Ask, check_version, model_route, predict_many, record
from tests.router.client import Response
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle


@pytest.fixture
async def shadowed(v1: Service, v2: Service, v3: Service) -> AsyncIterator[Router]:
    """Everything that users ask is copied to v3."""
    async with build_app(credit_document(shadow={"v3": 100}), {V1: v1, V2: v2, V3: v3}) as running:
        yield running


def ask(router: Router, user_id: str | None, row: dict[str, Any], version: str | None = None) -> Ask:
    """An ask for `credit` with ten seconds to go."""
    features = orjson.dumps(row)
    started = router.worker.clock()
    route = model_route(router.worker, "credit")
    return Ask(route, user_id, features, row_digest(features), started, started + 10, "mine", version=version)


async def post(router: Router, body: dict[str, Any]) -> Response:
    return await router.client.post("/predict/credit", orjson.dumps({"features": {"row": 1}} | body))


def test_a_name_that_there_is_not_is_told_with_those_that_there_are(router: Router) -> None:
    with pytest.raises(UnknownName, match="no model 'nope'"):
        model_route(router.worker, "nope")
    with pytest.raises(UnknownName, match="no version 'v9': it has v1, v2, v3"):
        check_version(model_route(router.worker, "credit"), "v9")


async def test_each_row_of_many_has_a_version_an_id_and_an_answer_of_its_own_in_the_order_asked(
    router: Router,
) -> None:
    users = ["u-treatment", "u-control", None, "u-treatment"]
    replies = await predict_many(
        router.worker, [ask(router, user, {"row": n}) for n, user in enumerate(users)]
    )
    assert [reply.version for reply in replies] == ["v2", "v1", "v1", "v2"]
    assert [reply.assignment.variant for reply in replies] == ["treatment", "control", None, "treatment"]
    assert len({reply.prediction_id for reply in replies}) == 4
    for number, reply in enumerate(replies):
        assert not isinstance(reply.served, RouterError)
        assert orjson.loads(reply.served.answer.body)["row"] == number


async def test_rows_of_many_that_go_to_one_version_travel_in_one_call(router: Router, v1: Service) -> None:
    await predict_many(router.worker, [ask(router, "u-control", {"row": n}) for n in range(20)])
    assert [len(call) for call in v1.calls] == [20]


async def test_of_many_those_that_are_known_are_not_asked_again(router: Router, v1: Service) -> None:
    asks = [ask(router, "u-control", {"row": n}) for n in range(3)]
    await predict_many(router.worker, [asks[1]])
    replies = await predict_many(router.worker, asks)
    assert [reply.result for reply in replies] == ["served", "cached", "served"]
    assert len(v1.rows) == 3


async def test_one_bad_row_of_many_is_refused_and_the_others_are_answered(router: Router) -> None:
    rows: list[dict[str, Any]] = [{"row": 1}, {"refuse": True}, {"row": 2}]
    replies = await predict_many(router.worker, [ask(router, "u-control", row) for row in rows])
    assert [reply.result for reply in replies] == ["served", "refused", "served"]
    assert isinstance(replies[1].served, RowRefused)


async def test_nothing_is_recorded_of_a_reply_before_its_door_says_that_it_is_out(router: Router) -> None:
    asked = ask(router, "u-control", {"row": 1})
    (reply,) = await predict_many(router.worker, [asked])
    assert router.exposures() == []
    record(router.worker, asked, reply, 200)
    (exposure,) = router.exposures()
    assert exposure["prediction_id"] == reply.prediction_id


async def test_a_caller_of_many_who_leaves_takes_all_of_them_along(router: Router, v1: Service) -> None:
    v1.hold()
    calling = asyncio.create_task(
        predict_many(router.worker, [ask(router, "u-control", {"row": n}) for n in range(3)])
    )
    await v1.arrived.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert router.counted("ekiben_requests_in_flight", model="credit", version="v1") == 0
    v1.release()


async def test_a_pinned_version_answers_outside_any_experiment(router: Router) -> None:
    reply = (await post(router, {"user_id": "u-treatment", "version": "v3"})).json
    assert (reply["version"], reply["experiment"], reply["variant"]) == ("v3", None, None)
    assert router.exposures() == []


async def test_nobody_answers_in_place_of_a_pinned_version(router: Router, v1: Service, v2: Service) -> None:
    v2.die()
    response = await post(router, {"user_id": "u-treatment", "version": "v2"})
    assert response.status == 502
    assert v1.calls == []
    assert router.exposures() == []
    assert router.counted("ekiben_requests_total", model="credit", version="v2", result="error") == 1


async def test_the_panic_switch_does_not_move_a_pinned_version(router: Router) -> None:
    router.worker.panic(frozenset({"credit"}))
    assert (await post(router, {"user_id": "u-treatment"})).json["version"] == "v1"
    assert (await post(router, {"user_id": "u-treatment", "version": "v2"})).json["version"] == "v2"


async def test_shadows_get_what_users_ask_and_no_pinned_request(shadowed: Router, v3: Service) -> None:
    await post(shadowed, {"user_id": "u-control", "version": "v1"})
    await settle()
    assert v3.rows == []
    await post(shadowed, {"user_id": "u-control"})
    await settle()
    assert v3.rows == [{"row": 1}]


async def test_a_version_that_there_is_not_is_404_with_those_that_there_are(router: Router) -> None:
    response = await post(router, {"version": "v9"})
    assert response.status == 404
    assert response.json["detail"] == "model 'credit' has no version 'v9': it has v1, v2, v3"


async def test_attributes_of_every_kind_are_taken_and_change_no_answer_yet(router: Router) -> None:
    given = {"country": "de", "age": 31, "score": 0.5, "paying": True, "plan": None}
    reply = (await post(router, {"user_id": "u-treatment", "attributes": given})).json
    assert reply["variant"] == "treatment"
    many = {f"a{number}": "x" * 256 for number in range(32)}
    assert (await post(router, {"user_id": "u-treatment", "attributes": many})).status == 200


class ByCountry(Plan):
    """A plan that sends Germans to v3: what conditions will do."""

    def assign(self, user_id: str | None, attributes: Attributes | None = None) -> Assignment:
        if attributes is not None and attributes.get("country") == "de":
            return Assignment("germans", "treatment", "v3", 1, "range", "hash", 1)
        return super().assign(user_id, attributes)


async def test_an_assignment_by_attributes_is_never_answered_by_what_is_remembered_of_the_user(
    router: Router,
) -> None:
    route = router.worker.routes["credit"]
    plan = ByCountry(
        **{name: getattr(route.plan, name) for name in Plan.__dataclass_fields__ if name != "_nobody"}
    )
    router.worker.routes = {"credit": replace(route, plan=plan)}
    user = {"user_id": "u-control"}
    for country, version in ((None, "v1"), ("de", "v3"), ("fr", "v1"), ("de", "v3"), (None, "v1")):
        given = {} if country is None else {"attributes": {"country": country}}
        assert (await post(router, user | given)).json["version"] == version
