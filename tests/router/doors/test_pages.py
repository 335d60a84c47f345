"""Models, health, metrics and methods: every page but predictions."""

from __future__ import annotations

import asyncio

import pytest

from router.app import RouterApp
from router.errors import VersionUnavailable
from tests.router.conftest import Router, build_app
from tests.router.documents import EXPERIMENT, V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle

PAGES = ("/models", "/models/credit", "/livez", "/readyz", "/healthz", "/metrics", "/openapi.json", "/docs")


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_answers_get_and_head(router: Router, path: str) -> None:
    for method in ("GET", "HEAD"):
        response = await router.client.request(method, path)
        assert response.status == 200
        assert response.headers["content-type"]
        assert response.headers["x-request-id"]


async def test_models_lists_each_with_live_versions_and_running_experiment(router: Router) -> None:
    assert (await router.client.get("/models")).json == {
        "models": [{"name": "credit", "live": "v1", "versions": ["v1", "v2", "v3"], "experiment": EXPERIMENT}]
    }


async def test_a_paused_experiment_is_not_the_models_experiment(router: Router) -> None:
    router.adopt(credit_document(experiment={"status": "paused"}))
    assert (await router.client.get("/models")).json["models"][0]["experiment"] is None


async def test_a_model_has_each_versions_info_and_its_endpoints_health(router: Router, v2: Service) -> None:
    v2.die()
    for number in range(5):
        await router.client.predict("u-treatment", {"row": number})
    found = (await router.client.get("/models/credit")).json
    assert (found["name"], found["live"], found["experiment"]) == ("credit", "v1", EXPERIMENT)
    assert found["versions"]["v1"]["info"]["model_version"] == "credit_v1:1"
    (well,), (ill,) = (found["versions"][name]["endpoints"] for name in ("v1", "v2"))
    assert (well["url"], well["healthy"], well["breaker"]) == (V1, True, "closed")
    assert (ill["url"], ill["healthy"], ill["breaker"]) == (V2, False, "open")
    assert "connection refused" in ill["last_error"]


async def test_who_gives_no_key_is_not_told_where_endpoints_are_and_how_they_fail(
    router: Router, v2: Service
) -> None:
    router.worker.shows_addresses = False
    v2.die()
    for number in range(5):
        await router.client.predict("u-treatment", {"row": number})
    response = await router.client.get("/models/credit")
    (ill,) = response.json["versions"]["v2"]["endpoints"]
    assert ill == {"healthy": False, "breaker": "open", "calls_in_flight": 0}
    assert V2.encode() not in response.body
    assert b"refused" not in response.body


async def test_a_query_of_thousands_of_fields_is_refused_before_it_is_read(router: Router) -> None:
    response = await router.client.get(f"/assignment/{EXPERIMENT}?" + "a&" * 5000)
    assert (response.status, response.json["detail"]) == (400, "a query may have 8192 bytes")


async def test_a_version_that_was_never_reached_has_no_info_and_is_not_healthy() -> None:
    dead = Service("v2")
    dead.die()
    async with build_app(credit_document(), {V1: Service("v1"), V2: dead, V3: dead}) as router:
        found = (await router.client.get("/models/credit")).json["versions"]["v2"]
        assert found["info"] is None
        assert not found["endpoints"][0]["healthy"]
        assert (await router.client.get("/readyz")).status == 200  # an alert, not a reason to turn all away
        health = (await router.client.get("/healthz")).json
        assert (health["dependencies"]["credit/v1"], health["dependencies"]["credit/v2"]) == ("up", "down")


async def test_a_version_that_came_back_is_healthy_again_before_anybody_asks_it(v1: Service) -> None:
    now = 1000.0
    v2 = Service("v2")
    async with build_app(credit_document(), {V1: v1, V2: v2, V3: v2}, clock=lambda: now) as router:
        v2.die()
        for number in range(5):
            await router.client.predict("u-treatment", {"row": number})
        await router.probe()
        assert (await router.client.get("/healthz")).json["dependencies"]["credit/v2"] == "down"
        v2.failure = None
        now += 10
        await router.probe()
        assert (await router.client.get("/healthz")).json["dependencies"]["credit/v2"] == "up"


async def test_healthz_tells_the_revision_and_each_dependency(router: Router) -> None:
    async def up() -> bool:
        return True

    async def down() -> bool:
        return False

    router.worker.dependencies = {"cache": down, "state": up}
    response = await router.client.get("/healthz")
    assert response.status == 200  # it routes on without its cache
    assert response.json == {
        "live": True,
        "ready": True,
        "draining": False,
        "panic": [],
        "revision": 1,
        "lineage": "here",
        "experiments_trouble": None,
        "experiments_file": None,
        "not_run": {},
        "dependencies": {
            "cache": "down",
            "state": "up",
            "credit/v1": "up",
            "credit/v2": "up",
            "credit/v3": "up",
        },
        "state": None,
    }


async def test_however_many_ask_for_healthz_a_dependency_is_asked_once_at_a_time(router: Router) -> None:
    asked = at_once = most = 0

    async def slow() -> bool:
        nonlocal asked, at_once, most
        asked, at_once = asked + 1, at_once + 1
        most = max(most, at_once)
        await settle(5)
        at_once -= 1
        return True

    router.worker.dependencies = {"state": slow}
    answers = await asyncio.gather(*(router.client.get("/healthz") for _ in range(300)))
    assert {answer.json["dependencies"]["state"] for answer in answers} == {"up"}
    assert most == 1
    assert asked < 20


async def test_a_router_without_experiments_is_alive_and_not_ready() -> None:
    async with build_app(None, {}, probed=False) as router:
        assert (await router.client.get("/livez")).status == 200
        assert (await router.client.get("/readyz")).status == 503
        response = await router.client.get("/healthz")
        assert response.status == 503
        assert (response.json["ready"], response.json["revision"]) == (False, None)


async def test_a_draining_router_is_not_ready_and_still_answers(router: Router) -> None:
    router.app.drain()
    assert (await router.client.get("/livez")).status == 200
    assert (await router.client.get("/readyz")).status == 503
    assert (await router.client.get("/healthz")).json["draining"]
    response = await router.client.predict("u-1", {"row": 1})
    assert response.status == 200
    assert response.headers["connection"] == "close"


async def test_metrics_are_prometheus_text(router: Router) -> None:
    await router.client.predict("u-control", {"row": 1})
    response = await router.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = response.body.decode()
    assert 'ekiben_requests_total{model="credit",result="served",version="v1"} 1.0' in text
    assert "ekiben_snapshot_revision 1.0" in text


async def test_requests_in_flight_are_those_that_wait_for_their_version(router: Router, v1: Service) -> None:
    labels = {"model": "credit", "version": "v1"}

    v1.hold()
    waiting = [asyncio.create_task(router.client.predict("u-control", {"row": row})) for row in range(3)]
    await v1.arrived.wait()
    assert router.counted("ekiben_requests_in_flight", **labels) == 3
    waiting.pop().cancel()  # a client that leaves takes its request with it
    await settle()
    assert router.counted("ekiben_requests_in_flight", **labels) == 2
    v1.failure = VersionUnavailable("connection refused")
    v1.release()
    assert [response.status for response in await asyncio.gather(*waiting)] == [502, 502]
    assert router.counted("ekiben_requests_in_flight", **labels) == 0


async def test_a_websocket_is_closed(router: Router) -> None:
    sent: list[object] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: object) -> None:
        sent.append(message)

    await router.app({"type": "websocket", "path": "/predict/credit"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_worker_that_cannot_start_tells_its_server() -> None:
    async def open_worker(stack: object) -> None:
        raise OSError("no such Redis")

    app = RouterApp(open_worker)  # type: ignore[arg-type]
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "lifespan.startup.failed", "message": "no such Redis"}]
