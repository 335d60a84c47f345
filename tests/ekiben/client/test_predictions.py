"""Predictions through both clients, from a real router."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from pathlib import Path

import pytest

from ekiben.client import (
    BadAnswer,
    Client,
    ClientError,
    FeaturesRefused,
    NoAnswer,
    Prediction,
    Refused,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from tests.certificates import certificate
from tests.ekiben.client.conftest import FOREIGN, KEY, SLOW, Open, Station
from tests.ekiben.client.relay import CUT_BEFORE, HOLD, Relay, answer, relaying
from tests.ports import free_port


async def test_an_answer_has_the_fields_of_the_routers(station: Station, open_client: Open) -> None:
    client = open_client(station.router.url)
    given = await client.predict(
        "credit", "u-treatment", {"row": 1}, fresh=True, headers={"X-Request-ID": "checkout-7"}
    )
    assert given == Prediction(
        prediction={"row": 1, "score": 0.5, "decision": "yes", "by": "v2"},
        model="credit",
        version="v2",
        model_version="credit_v2:real",
        experiment="credit-boosting",
        variant="treatment",
        prediction_id=given.prediction_id,
        request_id="checkout-7",
        cached=False,
    )
    again = await client.predict("credit", "u-treatment", {"row": 1}, attributes={"country": "AT"})
    assert (again.cached, again.prediction) == (True, given.prediction)
    assert again.prediction_id != given.prediction_id


async def test_without_a_user_live_answers_and_a_named_version_answers_alone(
    station: Station, open_client: Open
) -> None:
    client = open_client(station.router.url)
    live = await client.predict("credit", None, {"row": 2})
    assert (live.version, live.experiment, live.variant) == ("v1", None, None)
    assert (await client.predict("credit", "u-control", {"row": 2}, version="v3")).version == "v3"


async def test_an_answer_of_live_in_place_of_another_version_says_so(
    station: Station, open_client: Open
) -> None:
    client = open_client(station.router.url, timeout=30.0)
    station.services["v2"].mode("error")
    try:
        given = await client.predict("credit", "u-treatment", {"row": 3}, fresh=True)
    finally:
        station.services["v2"].mode("well")
    assert (given.version, given.fallback_from) == ("v1", "v2")


async def test_refused_features_are_an_error_that_names_the_field(
    station: Station, open_client: Open
) -> None:
    with pytest.raises(FeaturesRefused) as raised:
        await open_client(station.router.url).predict("credit", None, {"refuse": True})
    error = raised.value
    assert (error.status, error.type) == (422, "urn:ekiben:problem:features-refused")
    assert (error.title, error.detail) == (
        "The features were refused",
        "the model service refused the features",
    )
    assert [(each.loc, each.msg) for each in error.errors] == [(("refuse",), "not this one")]
    assert str(error) == "422: the model service refused the features; refuse: not this one"


async def test_a_wrong_key_and_an_unknown_model_are_errors_of_their_own(
    relay: Relay, open_client: Open
) -> None:
    for key in ("nobody-knows-this-key", None):
        with pytest.raises(Unauthorized) as raised:
            await open_client(relay.url, key).predict("credit", None, {})
        assert raised.value.status == 401
    with pytest.raises(Refused, match="there is no model") as refused:
        await open_client(relay.url).predict("credits", None, {})
    assert refused.value.status == 404
    assert len(relay.requests) == 3  # nothing is sent twice


async def test_a_key_may_have_letters_of_any_language(station: Station, open_client: Open) -> None:
    assert (
        await open_client(station.router.url, FOREIGN).predict("credit", None, {"row": 1})
    ).version == "v1"


async def test_a_rate_that_is_used_up_is_told_at_once_with_when_to_come_again(
    station: Station, open_client: Open
) -> None:
    client = open_client(station.router.url, SLOW)
    asked = [client.predict("credit", None, {"row": 1}) for _ in range(5)]
    told = [
        each for each in await asyncio.gather(*asked, return_exceptions=True) if isinstance(each, Exception)
    ]
    assert {(type(each), each.status) for each in told} == {(Unavailable, 429)}
    assert min(each.retry_after_s for each in told) >= 1


async def test_a_broken_connection_is_tried_once_more(relay: Relay, open_client: Open) -> None:
    client = open_client(relay.url)
    await client.predict("credit", None, {"row": 1})
    relay.moves.append(CUT_BEFORE)  # a kept connection that is closed as the request is sent
    assert (await client.predict("credit", None, {"row": 1})).version == "v1"
    relay.moves += [CUT_BEFORE, CUT_BEFORE]
    with pytest.raises(NoAnswer):
        await client.predict("credit", None, {"row": 1})
    assert (len(relay.requests), len(relay.statuses)) == (5, 2)


async def test_what_takes_longer_than_the_time_out_is_given_up_and_not_sent_again(
    relay: Relay, open_client: Open
) -> None:
    relay.moves.append(HOLD)
    begun = time.monotonic()
    with pytest.raises(TimedOut, match=r"no answer within 0\.3 s"):
        await open_client(relay.url, timeout=0.3).predict("credit", None, {"row": 1})
    assert 0.3 <= time.monotonic() - begun < 5
    assert len(relay.requests) == 1


async def test_where_nobody_listens_the_error_says_so(open_client: Open) -> None:
    with pytest.raises(NoAnswer, match="Connection refused") as raised:
        await open_client(f"http://127.0.0.1:{free_port()}").predict("credit", None, {})
    assert raised.value.refused


async def test_only_the_authorities_that_are_named_are_trusted(
    station: Station, open_client: Open, tmp_path: Path
) -> None:
    found, key = certificate(tmp_path, "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found, key)
    own = ssl.create_default_context(cafile=str(found))
    async with relaying(station.router.port, context) as relay:
        assert (await open_client(relay.url, tls=own).predict("credit", None, {"row": 1})).version == "v1"
        with pytest.raises(NoAnswer, match="self-signed certificate"):
            await open_client(relay.url).predict("credit", None, {"row": 1})
        assert len(relay.requests) == 1


async def test_what_is_no_router_is_told_from_one(relay: Relay, open_client: Open) -> None:
    client = open_client(relay.url)
    relay.moves += [
        answer(307, b"", "Location: http://elsewhere/"),
        answer(200, b"<html>"),
        answer(200, b"{}"),
    ]
    for why in ("redirects to http://elsewhere/, which is not followed", *["is not an Ekiben router"] * 2):
        with pytest.raises(BadAnswer, match=why):
            await client.predict("credit", None, {})
    relay.moves.append(answer(502, b"<html>bad gateway"))
    with pytest.raises(Unavailable, match="the router answered 502") as raised:
        await client.predict("credit", None, {})
    assert (raised.value.type, raised.value.errors) == ("", ())


async def test_what_no_json_can_hold_is_an_error_of_the_client(relay: Relay, open_client: Open) -> None:
    for features in ({"age": object()}, {"age": 2**70}, {"home": "\ud800"}):
        with pytest.raises(ClientError, match="cannot be written as JSON"):
            await open_client(relay.url).predict("credit", None, features)
    assert relay.requests == []


async def test_other_pages_are_read_as_objects(station: Station, open_client: Open) -> None:
    client = open_client(station.router.url)
    assert [each["name"] for each in (await client.get("/models"))["models"]] == ["credit"]
    with pytest.raises(Refused):
        await client.get("/nowhere")


def test_threads_share_a_client_and_its_connections(running: Station) -> None:
    async def relayed() -> tuple[int, int, list[str | None]]:
        async with relaying(running.router.port) as relay:
            with Client(relay.url, KEY) as client:
                answers: list[str | None] = []

                def ask(user: str) -> None:
                    for row in range(25):
                        given = client.predict("credit", user, {"row": row})
                        answers.append(given.variant if given.prediction["row"] == row else "another's")

                threads = [threading.Thread(target=ask, args=("u-control",)) for _ in range(8)]
                for thread in threads:
                    thread.start()
                await asyncio.to_thread(lambda: [thread.join() for thread in threads])
            return len(relay.requests), relay.connections, answers

    requests, connections, answers = asyncio.run(relayed())
    assert (requests, set(answers)) == (200, {"control"})
    assert connections <= 8
