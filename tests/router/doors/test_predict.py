"""`POST /predict/{model}`: what a good answer looks like, and who it is for."""

from __future__ import annotations

import re

import orjson
import pytest

from tests.router.conftest import Router, build_app
from tests.router.documents import EXPERIMENT, V1, V2, V3, credit_document
from tests.router.services import Service


async def test_an_answer_has_every_field_of_the_design(router: Router) -> None:
    response = await router.client.predict("u-treatment", {"row": 7})
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    reply = response.json
    assert re.fullmatch(r"[\w.-]{1,128}", reply.pop("prediction_id"))
    assert reply.pop("request_id") == response.headers["x-request-id"]
    assert reply == {
        "prediction": {"row": 7, "score": 0.2, "decision": "yes", "by": "v2"},
        "model": "credit",
        "version": "v2",
        "model_version": "credit_v2:1",
        "experiment": EXPERIMENT,
        "variant": "treatment",
        "cached": False,
    }


async def test_without_a_user_live_answers_outside_any_experiment(router: Router) -> None:
    reply = (await router.client.predict(None, {"row": 1})).json
    assert (reply["version"], reply["experiment"], reply["variant"]) == ("v1", None, None)
    assert router.exposures() == []


async def test_outside_the_coverage_live_answers_and_experiment_and_variant_are_null(v1: Service) -> None:
    document = credit_document(experiment={"coverage": 0, "overrides": {}})
    async with build_app(document, {V1: v1, V2: v1, V3: v1}) as router:
        reply = (await router.client.predict("u-1", {"row": 1})).json
        assert (reply["version"], reply["experiment"], reply["variant"]) == ("v1", None, None)
        assert router.exposures() == []


async def test_the_user_may_come_in_a_header(router: Router) -> None:
    reply = (await router.client.predict(None, {"row": 1}, X_User_ID="u-treatment")).json
    assert reply["variant"] == "treatment"


async def test_a_header_user_is_read_as_utf_8(router: Router) -> None:
    response = await router.client.request(
        "POST", "/predict/credit", b'{"features":{}}', {"x-user-id": "zoë-🍱".encode()}
    )
    by_body = await router.client.predict("zoë-🍱", {})
    assert response.status == 200
    assert response.json["variant"] == by_body.json["variant"]
    assert {event["user_hash"] for event in router.exposures()} == {"zoë-🍱"}


async def test_the_user_in_the_body_wins_over_the_header(router: Router) -> None:
    reply = (await router.client.predict("u-control", {"row": 1}, X_User_ID="u-treatment")).json
    assert reply["variant"] == "control"


@pytest.mark.parametrize(
    ("body", "header", "status"),
    [("u-1", None, 400), ("u-1", "u-2", 400), ("u-1", "u-1", 200), (None, "u-1", 200), (None, None, 200)],
)
async def test_where_the_header_is_trusted_nobody_else_names_the_user(
    router: Router, body: str | None, header: str | None, status: int
) -> None:
    router.worker.trusts_user_header = True
    headers = {} if header is None else {"X_User_ID": header}
    response = await router.client.predict(body, {"row": 1}, **headers)
    assert response.status == status
    assert {event["user_hash"] for event in router.exposures()} <= {header}


async def test_prediction_ids_are_unique_also_when_the_answer_is_cached(router: Router) -> None:
    replies = [(await router.client.predict("u-control", {"row": 1})).json for _ in range(50)]
    assert len({reply["prediction_id"] for reply in replies}) == 50
    assert replies[-1]["cached"]


async def test_a_request_id_that_fits_is_taken_and_echoed(router: Router) -> None:
    given = "A-z_0.9" + "x" * 121
    response = await router.client.predict("u-1", {"row": 1}, X_Request_ID=given)
    assert response.headers["x-request-id"] == given == response.json["request_id"]


async def test_a_request_id_that_does_not_fit_is_replaced(router: Router) -> None:
    for given in ("", "a b", "x" * 129, "é", "a/b", "a\tb"):
        response = await router.client.predict("u-1", {"row": 1}, X_Request_ID=given)
        made = response.headers["x-request-id"]
        assert made != given
        assert re.fullmatch(r"[\w.-]{1,128}", made, re.ASCII)
        assert made == response.json["request_id"]


async def test_every_kind_of_page_echoes_the_request_id(router: Router) -> None:
    for path in ("/models", "/livez", "/metrics", "/no-such-page", "/docs"):
        response = await router.client.get(path, X_Request_ID="mine")
        assert response.headers["x-request-id"] == "mine"


async def test_server_timing_names_cache_queue_and_model_in_milliseconds(router: Router) -> None:
    for _ in range(2):  # asked of the service, and from the cache
        timing = (await router.client.predict("u-1", {"row": 1})).headers["server-timing"]
        number = r"\d+\.\d+"
        assert re.fullmatch(f"cache;dur={number}, queue;dur={number}, model;dur={number}", timing)


async def test_the_prediction_is_the_services_own_bytes_and_nothing_is_interpreted(v1: Service) -> None:
    ok = {"z": [1, 1.0, None, True, "é\n"], "a": {"b": {}}, "score": 1, "decision": ""}
    v1.answer = lambda features: {"ok": ok}
    async with build_app(credit_document(), {V1: v1, V2: v1, V3: v1}) as router:
        response = await router.client.predict(None, {})
        assert orjson.dumps(ok) in response.body


async def test_features_reach_the_service_as_they_were_sent(router: Router, v1: Service) -> None:
    features = {"int": 1, "float": 1.0, "none": None, "text": "né\u0000", "nested": {"b": [1, {}], "a": ""}}
    assert (await router.client.predict("u-control", features)).status == 200
    assert v1.rows == [features]
    assert type(v1.rows[0]["float"]) is float
    assert type(v1.rows[0]["int"]) is int


async def test_an_override_is_recorded_as_one(router: Router) -> None:
    await router.client.predict("u-treatment", {"row": 1})
    (exposure,) = router.exposures()
    assert (exposure["assigned_by"], exposure["variant"]) == ("override", "treatment")


async def test_a_head_of_the_prediction_page_is_no_prediction(router: Router, v1: Service) -> None:
    response = await router.client.request("HEAD", "/predict/credit")
    assert response.status == 405
    assert v1.calls == []
