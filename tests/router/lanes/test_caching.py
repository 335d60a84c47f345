"""What is cached, under which key, and for how long; with a cache in memory behind the real lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from ekiben.experiments.parsing import parse_document
from ekiben.experiments.version import UNVERSIONED
from router.doors.envelope import parse_envelope, row_digest
from router.lanes.cache import InMemoryCache, cache_key
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle


def digest(features: bytes) -> str:
    return row_digest(parse_envelope(b'{"features":' + features + b"}", None)[0])


def key(tag: str, features: bytes, model: str = "credit", version: str = "v1") -> str:
    return cache_key(model, version, tag, digest(features))


async def test_a_repeat_is_answered_from_the_cache_for_every_user_of_the_version(
    router: Router, v1: Service
) -> None:
    first = (await router.client.predict("u-control", {"row": 1})).json
    again = (await router.client.predict(None, {"row": 1})).json
    assert (first["cached"], again["cached"]) == (False, True)
    assert again["prediction"] == first["prediction"]
    assert len(v1.rows) == 1


async def test_the_shared_cache_answers_what_another_worker_asked(v1: Service, v2: Service) -> None:
    services = {V1: v1, V2: v2, V3: v2}
    async with build_app(credit_document(), services) as one:
        await one.client.predict(None, {"row": 1})
        async with build_app(credit_document(), services, shared=one.cache) as other:
            reply = (await other.client.predict(None, {"row": 1})).json
    assert reply["cached"]
    assert len(v1.rows) == 1


async def test_an_entry_of_one_version_never_answers_for_another(
    router: Router, v1: Service, v2: Service
) -> None:
    for user, version in (("u-control", "v1"), ("u-treatment", "v2")) * 2:
        reply = (await router.client.predict(user, {"row": 1})).json
        assert (reply["version"], reply["prediction"]["by"]) == (version, version)
        assert reply["model_version"] == f"credit_{version}:1"
    assert (len(v1.rows), len(v2.rows)) == (1, 1)


async def test_the_answers_of_a_server_that_tells_no_version_are_not_cached() -> None:
    service = Service("v1", tag=UNVERSIONED)
    async with build_app(credit_document(), {V1: service, V2: service, V3: service}) as router:
        replies = [(await router.client.predict(None, {"row": 1})).json for _ in range(3)]
        assert [reply["cached"] for reply in replies] == [False, False, False]
        assert {reply["model_version"] for reply in replies} == {UNVERSIONED}
        assert len(service.rows) == 3
        assert not router.cache.held
        service.model_version = "credit_v1:2"  # it tells one now
        assert [(await router.client.predict(None, {"row": 1})).json["cached"] for _ in range(2)] == [
            False,
            True,
        ]


async def test_two_versions_and_two_models_that_all_say_1_0_never_share_an_answer() -> None:
    urls = {"one": ("http://one-v1:1", "http://one-v2:1"), "two": ("http://two-v1:1", "http://two-v2:1")}
    services: dict[str, Service] = {}
    document: dict[str, Any] = {"models": {}, "experiments": {}}
    for model, (v1, v2) in urls.items():
        document["models"][model] = {
            "live": "v1",
            "versions": {"v1": {"endpoints": [v1]}, "v2": {"endpoints": [v2]}},
        }
        document["experiments"][model] = {
            "model": model,
            "status": "running",
            "variants": {"a": {"version": "v1", "weight": 50}, "b": {"version": "v2", "weight": 50}},
            "overrides": {"on-v1": "a", "on-v2": "b"},
        }
        for version, url in (("v1", v1), ("v2", v2)):
            service = services[url] = Service(version, tag="1.0")
            service.answer = lambda _row, by=url: {"ok": {"score": 1, "decision": "yes", "by": by}}  # type: ignore[misc]
    for local_cache_entries in (1000, 0):
        async with build_app(
            parse_document(document), services, local_cache_entries=local_cache_entries
        ) as router:
            for user, place in (("on-v1", 0), ("on-v2", 1)) * 2:
                for model in ("one", "two", "one"):
                    reply = await router.client.predict(user, {"row": 1}, model=model)
                    assert reply.json["prediction"]["by"] == urls[model][place]


async def test_a_new_model_version_of_the_same_version_does_not_get_the_old_ones_answers(
    router: Router, v1: Service
) -> None:
    await router.client.predict("u-control", {"row": 1})
    v1.model_version = "credit_v1:2"
    await router.probe()
    reply = (await router.client.predict("u-control", {"row": 1})).json
    assert (reply["cached"], reply["model_version"]) == (False, "credit_v1:2")
    assert set(router.cache.held) == {key(f"credit_v1:{n}", b'{"row":1}') for n in (1, 2)}


async def test_a_look_up_that_comes_back_after_the_model_was_replaced_is_not_kept(v1: Service) -> None:
    class Held(InMemoryCache):
        gate = asyncio.Event()

        async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
            found = await super().get_many(keys)
            await self.gate.wait()
            return found

    shared = Held()
    row = key("credit_v1:1", b'{"row":1}')
    shared.held[row] = orjson.dumps({"score": 0.5, "decision": "old"})
    async with build_app(credit_document(), {V1: v1, V2: v1, V3: v1}, shared=shared) as router:
        asked = asyncio.create_task(router.client.predict(None, {"row": 1}))
        await settle()
        v1.model_version = "credit_v1:2"
        await router.probe()
        shared.gate.set()
        late = (await asked).json  # of the model that was asked when it came
        assert (late["model_version"], late["prediction"]["decision"]) == ("credit_v1:1", "old")
        reply = (await router.client.predict(None, {"row": 1})).json
        assert (reply["model_version"], reply["cached"]) == ("credit_v1:2", False)


async def test_an_answer_is_stored_under_the_tag_that_gave_it(router: Router, v1: Service) -> None:
    v1.model_version = "credit_v1:2"  # nobody has told the router
    reply = (await router.client.predict("u-control", {"row": 1})).json
    assert reply["model_version"] == "credit_v1:2"
    assert set(router.cache.held) == {key("credit_v1:2", b'{"row":1}')}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":{"c":2,"d":[1,2]}}', b'{ "b" :\n{"d":[1, 2],"c":2},\t"a":1 }'),
        (b'{"a":"\\u00e9\\/"}', '{"a":"é/"}'.encode()),
        (b'{"a":1e2}', b'{"a":100.0}'),
        (b'{"a":0,"a":1}', b'{"a":1}'),
    ],
    ids=["order and white space", "escapes", "exponents", "duplicates: the last counts"],
)
def test_features_that_mean_the_same_have_one_key(one: bytes, other: bytes) -> None:
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":1}', b'{"a":true}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":0}', b'{"a":null}'),
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":{"b":1}}', b'{"a":{},"b":1}'),
        ('{"a":"é"}'.encode(), '{"a":"e\u0301"}'.encode()),
    ],
)
def test_features_that_differ_have_two_keys(one: bytes, other: bytes) -> None:
    assert digest(one) != digest(other)


async def test_1_and_1_0_do_not_share_an_answer(router: Router, v1: Service) -> None:
    for features in (b'{"row":1}', b'{"row":1.0}'):
        response = await router.client.post("/predict/credit", b'{"features":' + features + b"}")
        assert not response.json["cached"]
    assert [type(row["row"]) for row in v1.rows] == [int, float]


async def test_only_good_answers_are_stored(router: Router, v1: Service) -> None:
    for features in ({"refuse": True}, {"fail": True}):
        for _ in range(2):
            assert (await router.client.predict("u-control", features)).status in (422, 502)
    assert router.cache.held == {}
    assert len(v1.rows) == 4


async def test_a_fallbacks_answer_is_stored_for_live_and_not_for_the_version_that_failed(
    router: Router, v2: Service
) -> None:
    v2.die()
    await router.client.predict("u-treatment", {"row": 1})
    assert set(router.cache.held) == {key("credit_v1:1", b'{"row":1}')}


async def test_each_model_has_its_own_ttl(v1: Service) -> None:
    models = {
        "a": {"live": "v1", "versions": {"v1": {"endpoints": [V1]}}, "cache_ttl_s": 7},
        "b": {"live": "v2", "versions": {"v2": {"endpoints": [V2]}}, "cache_ttl_s": 900},
        "c": {"live": "v3", "versions": {"v3": {"endpoints": [V3]}}, "cache_ttl_s": 0},
    }
    from ekiben.experiments.parsing import parse_document

    services = {V1: v1, V2: Service("v2"), V3: Service("v3")}
    async with build_app(parse_document({"models": models}), services) as router:
        for _ in range(2):
            for name in models:
                assert (await router.client.predict(None, {"row": 1}, model=name)).status == 200
        row = b'{"row":1}'
        assert router.cache.ttls == {
            key("credit_v1:1", row, "a", "v1"): 7,
            key("credit_v2:1", row, "b", "v2"): 900,
        }
        assert len(services[V3].rows) == 2  # a TTL of 0 is no cache


async def test_an_answer_expires_in_the_worker_too(v1: Service) -> None:
    now = 1000.0
    document = credit_document(cache_ttl_s=60)
    async with build_app(document, {V1: v1, V2: v1, V3: v1}, clock=lambda: now) as router:
        await router.client.predict(None, {"row": 1})
        router.cache.held.clear()
        now += 59
        assert (await router.client.predict(None, {"row": 1})).json["cached"]
        now += 2
        assert not (await router.client.predict(None, {"row": 1})).json["cached"]


async def test_what_came_from_the_shared_cache_is_kept_for_10_s_at_most(v1: Service) -> None:
    now = 1000.0
    async with build_app(credit_document(), {V1: v1, V2: v1, V3: v1}, clock=lambda: now) as router:
        row = b'{"row":1}'
        router.cache.held[key("credit_v1:1", row)] = orjson.dumps({"score": 0.5, "decision": "x"})
        assert (await router.client.predict(None, {"row": 1})).json["cached"]
        router.cache.held.clear()
        now += 9
        assert (await router.client.predict(None, {"row": 1})).json["cached"]
        now += 2
        assert not (await router.client.predict(None, {"row": 1})).json["cached"]


async def test_no_cache_skips_the_look_up_and_stores_the_answer(router: Router, v1: Service) -> None:
    await router.client.predict("u-control", {"row": 1})
    looked_up = len(router.cache.look_ups)
    for header in ("no-cache", "No-Cache", "max-age=0, no-cache"):
        reply = (await router.client.predict("u-control", {"row": 1}, Cache_Control=header)).json
        assert not reply["cached"]
    assert len(router.cache.look_ups) == looked_up
    assert len(v1.rows) == 4
    v1.answer = lambda features: {"ok": {"score": 0.7, "decision": "new"}}
    await router.client.predict("u-control", {"row": 1}, Cache_Control="no-cache")
    assert (await router.client.predict("u-control", {"row": 1})).json["prediction"]["decision"] == "new"


async def test_another_cache_control_does_not_skip_the_look_up(router: Router) -> None:
    await router.client.predict("u-control", {"row": 1})
    assert (await router.client.predict("u-control", {"row": 1}, Cache_Control="max-age=0")).json["cached"]


RUBBISH = {
    "nothing": b"",
    "bytes": b"\xff\x00\xfe",
    "half": b'{"score": 0.5, "deci',
    "no object": b"[1]",
    "no score": b'{"decision": "yes"}',
    "a text as score": b'{"score": "0.5", "decision": "yes"}',
    "no decision": b'{"score": 0.5}',
    "NaN": b'{"score": NaN, "decision": "yes"}',
    "deep": b'{"score": 0.5, "decision": "yes", "deep": ' + b"[" * 500 + b"]" * 500 + b"}",
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH.keys())
async def test_rubbish_under_the_key_is_a_miss(router: Router, v1: Service, rubbish: bytes) -> None:
    router.cache.held[key("credit_v1:1", b'{"row":1}')] = rubbish
    reply = await router.client.predict("u-control", {"row": 1})
    assert (reply.status, reply.json["cached"], reply.json["prediction"]["row"]) == (200, False, 1)
    assert orjson.loads(router.cache.held[key("credit_v1:1", b'{"row":1}')])["row"] == 1


async def test_a_batch_is_looked_up_at_once(router: Router, v1: Service) -> None:
    v1.hold()
    first = asyncio.create_task(router.client.predict(None, {"row": -1}))
    await settle()
    tasks = [asyncio.create_task(router.client.predict(None, {"row": n})) for n in range(20)]
    await settle()
    v1.release()
    await asyncio.gather(first, *tasks)
    assert [len(keys) for keys in router.cache.look_ups] == [1, 20]


async def test_a_worker_that_does_not_know_the_tag_yet_asks_and_stores(v1: Service) -> None:
    v1.failure = None
    async with build_app(credit_document(), {V1: v1, V2: v1, V3: v1}, probed=False) as router:
        route = router.worker.routes["credit"].versions["v1"]
        route.endpoints.known.model_version = None
        reply = (await router.client.predict(None, {"row": 1})).json
        assert not reply["cached"]
        assert set(router.cache.held) == {key("credit_v1:1", b'{"row":1}')}


async def test_hits_and_misses_are_counted_by_tier(router: Router) -> None:
    for _ in range(3):
        await router.client.predict("u-control", {"row": 1})
    labels = {"model": "credit", "version": "v1"}

    def counted(tier: str, result: str) -> float:
        return router.counted("ekiben_cache_look_ups_total", **labels, tier=tier, result=result)

    assert (counted("local", "hit"), counted("redis", "miss"), counted("redis", "hit")) == (2, 1, 0)
    assert router.counted("ekiben_requests_total", **labels, result="cached") == 2
