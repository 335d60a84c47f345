"""A sample of the features, kept only where somebody asked for it."""

from __future__ import annotations

import pytest

import router.records.events as events_module
from router.records.events import IdMaker, RedisEvents, is_captured
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.redis_server import RedisServer
from tests.router.services import Service
from tests.router.test_events import SALT, Counts, Sender, event


async def test_nothing_is_kept_unless_asked_for(router: Router) -> None:
    await router.client.predict("u-treatment", {"row": 1})
    assert router.exposures()[0]["features"] is None


async def test_what_is_kept_is_the_canonical_features_of_whatever_became_of_the_request() -> None:
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    async with build_app(credit_document(), services, capture_share=1.0) as router:
        await router.client.post(
            "/predict/credit",
            '{"user_id": "u-control", "features": {"row": 1, "b": "é", "a": [2.50]}}'.encode(),
        )
        await router.client.predict("u-control", {"refuse": True})
        assert [each["features"] for each in router.exposures()] == [
            '{"a":[2.5],"b":"é","row":1}',
            '{"refuse":true}',
        ]


async def test_which_ones_are_kept_follows_from_the_prediction_id() -> None:
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    async with build_app(credit_document(), services, capture_share=0.5) as router:
        for number in range(40):
            await router.client.predict("u-control", {"row": number})
        for each in router.exposures():
            assert (each["features"] is not None) == is_captured(str(each["prediction_id"]), 0.5)


def test_the_sample_is_as_large_as_asked_and_grows_around_itself() -> None:
    make = IdMaker()
    ids = [make() for _ in range(20_000)]
    kept = {share: {each for each in ids if is_captured(each, share)} for share in (0.0, 0.1, 0.5, 1.0)}
    assert (len(kept[0.0]), len(kept[1.0])) == (0, 20_000)
    assert abs(len(kept[0.1]) - 2_000) < 200
    assert kept[0.1] < kept[0.5]


async def test_blocks_with_features_stay_small_and_whole(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_MAX_BLOCK_FEATURES", 1000)
    sender = Sender(redis)
    for number in range(30):
        sender.events.add("u", event(str(number), features="x" * 300))
    await sender.events.flush()
    rows = await sender.read()
    assert [row["event_id"] for row in rows] == [str(number) for number in range(30)]
    async with redis.client() as client:
        assert await client.xlen("ekiben:exposures") == 10
    assert sender.events._held_features == 0
    await sender.redis.aclose()


async def test_while_redis_is_away_features_give_way_before_exposures(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_MAX_HELD_FEATURES", 1000)
    counts = Counts()
    sender = Sender(redis)
    sender.events = RedisEvents(sender.redis, SALT, counts, 1 << 30, IdMaker())
    for number in range(10):
        sender.events.add("u", event(str(number), features="x" * 300))
    await sender.events.flush()
    rows = await sender.read()
    assert [row["features"] is not None for row in rows] == [True] * 3 + [False] * 7
    assert (counts.n_sent, counts.n_dropped) == (10, 0)
    await sender.redis.aclose()
