"""`POST /outcomes`: what is taken, what is refused and why."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import orjson
import pytest

from router.doors.outcomes import read_in_steps
from router.errors import OutcomesRefused, Overloaded, StateAway
from router.http.costly import at_once
from router.http.keys import Keys
from tests.router.client import Response
from tests.router.conftest import Router

NOW = 1_795_255_200.0  # 2026-11-21T10:00:00Z


def outcome(**changed: Any) -> dict[str, Any]:
    """A good one; what is changed to `...` is left out."""
    fields = {"prediction_id": "p-1", "name": "profit", "value": 12.5} | changed
    return {field: value for field, value in fields.items() if value is not ...}


async def send(router: Router, *outcomes: Any) -> Response:
    return await router.client.post("/outcomes", orjson.dumps({"outcomes": outcomes}))


def refused(*outcomes: Any) -> list[dict[str, Any]]:
    with pytest.raises(OutcomesRefused) as raised:
        at_once(read_in_steps(orjson.dumps({"outcomes": outcomes}), NOW))
    return raised.value.errors


async def test_outcomes_that_are_kept_are_answered_with_202(router: Router) -> None:
    of_user = outcome(prediction_id=..., user_id="u-1", value=3, id="mine", at="2026-11-21T10:00:00Z")
    response = await send(router, outcome(), of_user)
    assert response.status == 202
    assert response.json == {"accepted": 2, "request_id": response.headers["x-request-id"]}
    one, two = router.outcomes.held
    assert (one.prediction_id, one.user_id, one.name, one.value, one.id) == (
        "p-1",
        None,
        "profit",
        12.5,
        None,
    )
    assert abs(one.at - time.time()) < 60
    assert (two.prediction_id, two.user_id, two.value, two.id) == (None, "u-1", 3.0, "mine")
    assert two.at == NOW


async def test_an_id_belongs_to_the_key_that_sent_it(router: Router) -> None:
    router.worker.keys = Keys.from_setting("the-key-of-one-team,the-key-of-another")
    body = orjson.dumps({"outcomes": [outcome(id="mine"), outcome()]})
    for key in ("the-key-of-one-team", "the-key-of-another"):
        sent = await router.client.post("/outcomes", body, authorization=f"Bearer {key}")
        assert sent.status == 202
    of_one, without, of_another, _ = router.outcomes.held
    assert without.id is None
    assert of_one.id != of_another.id
    names = [hashlib.sha256(key).hexdigest()[:12] for key in (b"the-key-of-one-team", b"the-key-of-another")]
    assert [of_one.id, of_another.id] == [f"{name}:mine" for name in names]


async def test_no_outcomes_are_soon_kept(router: Router) -> None:
    response = await send(router)
    assert (response.status, response.json["accepted"]) == (202, 0)


async def test_a_thousand_are_taken_and_one_more_is_refused(router: Router) -> None:
    assert (await send(router, *[outcome()] * 1000)).status == 202
    response = await send(router, *[outcome()] * 1001)
    assert response.status == 400
    assert response.json["errors"] == [
        {"loc": ["outcomes"], "msg": "at most 1000 outcomes at once, not 1001"}
    ]
    assert len(router.outcomes.held) == 1000


async def test_one_bad_outcome_and_none_is_taken(router: Router) -> None:
    response = await send(router, outcome(), outcome(value="12"), outcome(name=...))
    assert response.status == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json["type"] == "urn:ekiben:problem:bad-request"
    assert response.json["errors"] == [
        {"loc": ["outcomes", 1, "value"], "msg": "must be a number between -1e+30 and 1e+30"},
        {"loc": ["outcomes", 2, "name"], "msg": "`name` is missing"},
    ]
    assert router.outcomes.held == []


async def test_a_value_whose_squares_leave_floating_point_is_refused(router: Router) -> None:
    assert (await send(router, outcome(value=1e30), outcome(value=-1e30))).status == 202
    response = await send(router, outcome(value=1.1e30), outcome(value=-1.7e308))
    assert response.status == 400
    assert response.json["errors"] == [
        {"loc": ["outcomes", place, "value"], "msg": "must be a number between -1e+30 and 1e+30"}
        for place in (0, 1)
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"{}",
        b'{"outcomes": {}}',
        b'{"outcomes": null}',
        b'{"outcomes": [], "x": 1}',
    ]
    + [b'{"outcomes": [{"prediction_id": "p", "name": "n", "value": %b}]}' % v for v in (b"NaN", b"1e999")]
    + [b'{"outcomes": [], }', b'{"outcomes": ["\xff"]}', b"[" * 40_000],
)
async def test_a_body_that_is_no_list_of_outcomes_is_400(router: Router, body: bytes) -> None:
    response = await router.client.post("/outcomes", body)
    assert response.status == 400
    (error,) = response.json["errors"]
    assert error["loc"] == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"prediction_id": ...}, None),
        ({"user_id": "u-1"}, None),
        ({"prediction_id": ""}, "prediction_id"),
        ({"prediction_id": 1}, "prediction_id"),
        ({"prediction_id": None}, "prediction_id"),
        ({"prediction_id": "p" * 129}, "prediction_id"),
        ({"prediction_id": ..., "user_id": "u" * 257}, "user_id"),
        ({"name": ...}, "name"),
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": 7}, "name"),
        ({"value": ...}, "value"),
        ({"value": True}, "value"),
        ({"value": None}, "value"),
        ({"value": "1"}, "value"),
        ({"value": [1]}, "value"),
        ({"id": ""}, "id"),
        ({"id": "i" * 129}, "id"),
        ({"id": None}, "id"),
        ({"at": None}, "at"),
        ({"at": NOW}, "at"),
        ({"at": ""}, "at"),
        ({"at": "2026-11-21"}, "at"),
        ({"at": "2026-11-21T10:00:00"}, "at"),
        ({"at": "2026-02-30T10:00:00Z"}, "at"),
        ({"at": "yesterday"}, "at"),
        ({"at": "2026-11-21T10:05:01Z"}, "at"),
        ({"weight": 2}, "weight"),
    ],
    ids=str,
)
def test_what_is_wrong_with_an_outcome_is_named_by_its_place(
    changed: dict[str, Any], field: str | None
) -> None:
    (error,) = refused(outcome(), outcome(**changed))
    assert error["loc"] == ["outcomes", 1] if field is None else ["outcomes", 1, field]
    assert error["msg"]


@pytest.mark.parametrize("item", [None, 1, "x", []])
def test_an_outcome_that_is_no_object_is_refused(item: Any) -> None:
    (error,) = refused(item)
    assert error == {"loc": ["outcomes", 0], "msg": "an outcome must be an object"}


@pytest.mark.parametrize(
    ("at", "seconds"),
    [
        ("2026-11-21T10:00:00Z", 0.0),
        ("2026-11-21T10:05:00Z", 300.0),  # as far as clocks may differ
        ("2026-11-21T11:00:00.25+01:00", 0.25),
        ("2026-11-21t09:00:00z", -3600.0),
        ("1969-12-31T23:59:59Z", -NOW - 1),
    ],
)
def test_a_time_is_read_as_rfc_3339_has_it(at: str, seconds: float) -> None:
    (read,) = at_once(read_in_steps(orjson.dumps({"outcomes": [outcome(at=at)]}), NOW))
    assert read.at == NOW + seconds


def test_of_many_errors_a_hundred_are_told_and_no_more_are_looked_for() -> None:
    errors = refused(*[outcome(value="x")] * 400)
    assert len(errors) == 101
    assert errors[99]["loc"] == ["outcomes", 99, "value"]
    assert errors[100]["msg"] == "these are the first errors: there may be more"


async def test_while_redis_is_away_it_is_503_with_retry_after(router: Router) -> None:
    for failure, kind in ((StateAway("not now"), "state-away"), (Overloaded("full"), "overloaded")):
        router.outcomes.failure = failure
        response = await send(router, outcome())
        assert response.status == 503
        assert response.json["type"] == f"urn:ekiben:problem:{kind}"
        assert response.headers["retry-after"] == "1"


async def test_another_method_is_405(router: Router) -> None:
    response = await router.client.get("/outcomes")
    assert (response.status, response.headers["allow"]) == (405, "POST")


async def test_outcomes_are_taken_before_there_are_experiments(router: Router) -> None:
    router.worker.snapshot = None
    assert (await send(router, outcome())).status == 202


async def test_what_is_turned_away_is_counted_by_its_reason(router: Router) -> None:
    await send(router, outcome(), {})
    router.outcomes.failure = StateAway("not now")
    await send(router, outcome())
    router.outcomes.failure = Overloaded("full")
    await send(router, outcome())
    for reason in ("invalid", "unavailable", "full"):
        assert router.counted("ekiben_outcome_refusals_total", reason=reason) == 1


async def test_where_keys_are_set_outcomes_need_one_that_may_send_them(router: Router) -> None:
    router.worker.keys = Keys.from_setting("may-do-all,only-sends:outcomes,only-asks:predict")
    body = orjson.dumps({"outcomes": [outcome()]})
    for key, status in (
        ("may-do-all", 202),
        ("only-sends", 202),
        ("only-asks", 403),
        ("nobody", 401),
        (None, 401),
    ):
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        assert (await router.client.post("/outcomes", body, **headers)).status == status
    assert len(router.outcomes.held) == 2
    refused = await router.client.predict("u-1", {"row": 1}, authorization="Bearer only-sends")
    assert refused.status == 403


async def test_a_body_past_the_limit_is_413(router: Router) -> None:
    response = await router.client.post("/outcomes", b"[" + b" " * (1024 * 1024) + b"]")
    assert response.status == 413
