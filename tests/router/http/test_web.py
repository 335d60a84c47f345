"""What a web page can have a browser ask of a router, without any key."""

from __future__ import annotations

import gzip

import pytest

from ekiben.process.http.names import HostNames
from router.http.web import WebRules
from tests.router.client import Response
from tests.router.conftest import Router

PREDICT, OUTCOMES = "/predict/credit", "/outcomes"
BODIES = {
    PREDICT: b'{"user_id": "u-control", "features": {"row": 1}}',
    OUTCOMES: b'{"outcomes": [{"user_id": "u-1", "name": "profit", "value": 1}]}',
}
SHOP = "https://shop.example"


def kind(response: Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status, response.json["type"].rsplit(":", 1)[1]


def untouched(router: Router) -> bool:
    return not router.exposures() and not router.outcomes.held


@pytest.mark.parametrize("path", BODIES)
async def test_a_page_whose_name_was_made_to_point_here_changes_nothing(router: Router, path: str) -> None:
    # To the browser this is the page's own origin: it asks nobody before it sends JSON.
    headers = {"Host": "evil.example:3000", "Origin": "http://evil.example:3000"}
    assert kind(await router.client.request("POST", path, BODIES[path], headers)) == (421, "unknown-host")
    assert untouched(router)


@pytest.mark.parametrize(
    "path", ["/models", "/metrics", "/healthz", "/assignment/credit-boosting?user_id=u-1", "/"]
)
async def test_nor_does_it_read_anything(router: Router, path: str) -> None:
    assert kind(await router.client.get(path, Host="evil.example")) == (421, "unknown-host")


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:8080", "https://localhost"]
)
async def test_a_page_of_another_site_changes_nothing(router: Router, path: str, origin: str) -> None:
    for media_type in ("text/plain", "application/json"):
        headers = {"Origin": origin, "Content-Type": media_type, "Host": "127.0.0.1:3000"}
        answer = await router.client.request("POST", path, BODIES[path], headers)
        assert kind(answer) == (403, "foreign-origin")
        assert "access-control-allow-origin" not in answer.headers
    assert untouched(router)


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonp"],
)
async def test_what_a_page_may_send_without_asking_is_no_json(
    router: Router, path: str, media_type: str
) -> None:
    headers = {"Content-Type": media_type}
    assert kind(await router.client.request("POST", path, BODIES[path], headers)) == (415, "not-json")
    assert untouched(router)


@pytest.mark.parametrize("path", BODIES)
async def test_a_compressed_body_is_told_to_come_as_it_is(router: Router, path: str) -> None:
    packed = gzip.compress(BODIES[path])
    answer = await router.client.request("POST", path, packed, {"Content-Encoding": "gzip"})
    assert kind(answer) == (415, "body-encoded")
    assert answer.headers["accept-encoding"] == "identity"
    assert "gzip" in answer.json["detail"]
    plain = await router.client.request("POST", path, BODIES[path], {"Content-Encoding": "identity"})
    assert plain.status in (200, 202)


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8"])
async def test_json_may_say_its_character_set(router: Router, media_type: str) -> None:
    answer = await router.client.request("POST", PREDICT, BODIES[PREDICT], {"Content-Type": media_type})
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_are_answered_under_every_name_and_under_none(router: Router, path: str) -> None:
    assert (await router.client.get(path, Host="whatever.a.load-balancer.calls.it")).status == 200


async def test_a_page_of_its_own_may_ask(router: Router) -> None:
    headers = {"Origin": "http://localhost:3000", "Host": "localhost:3000"}
    assert (await router.client.request("POST", PREDICT, BODIES[PREDICT], headers)).status == 200


async def test_without_a_list_nobody_is_told_that_pages_may_ask(router: Router) -> None:
    asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    assert kind(await router.client.request("OPTIONS", PREDICT, headers=asked)) == (403, "foreign-origin")


async def test_a_listed_origin_is_told_what_it_may_and_reads_the_answer(router: Router) -> None:
    router.worker.web = WebRules(HostNames("127.0.0.1"), [SHOP])
    asked = {
        "Origin": SHOP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization",
    }
    told = await router.client.request("OPTIONS", PREDICT, headers=asked)
    assert told.status == 200
    assert told.headers["access-control-allow-origin"] == SHOP
    assert "POST" in told.headers["access-control-allow-methods"]
    assert {"content-type", "authorization"} <= set(told.headers["access-control-allow-headers"].split(", "))
    for body, status in ((BODIES[PREDICT], 200), (b"{}", 400)):
        answer = await router.client.request("POST", PREDICT, body, {"Origin": SHOP})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == SHOP
        assert answer.headers["vary"] == "origin"
    refused = await router.client.request(
        "POST", PREDICT, BODIES[PREDICT], {"Origin": f"{SHOP}.evil.example"}
    )
    assert kind(refused) == (403, "foreign-origin")


async def test_options_without_a_page_is_405_as_any_other_method(router: Router) -> None:
    assert (await router.client.request("OPTIONS", PREDICT)).status == 405


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For"])
async def test_a_router_that_a_proxy_sends_outcomes_to_is_no_longer_this_machines_own(
    router: Router, header: str
) -> None:
    assert router.worker.web.only_here
    await router.client.request("POST", OUTCOMES, BODIES[OUTCOMES], {header: "for=192.0.2.7"})
    assert not router.worker.web.only_here


async def test_nor_is_one_that_pages_or_other_names_reach() -> None:
    assert not WebRules(HostNames("127.0.0.1"), [SHOP]).only_here
    assert not WebRules(HostNames("127.0.0.1", ["shop.example"])).only_here
    assert not WebRules(None).only_here


def test_names_are_remembered_and_endless_ones_are_not() -> None:
    rules = WebRules(None)
    for number in range(3000):
        rules._check_host(b"host-%d" % number)
        rules._check_host(b"x" * 60_000 + b"%d" % number)
    assert len(rules.known) <= 1000
    assert max(map(len, rules.known)) < 300
