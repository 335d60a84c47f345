"""What was served, on its way to the state Redis: whole, pseudonymous, and never in the way."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from msgspec.structs import asdict

import router.records.events as events_module
from ekiben.process.tasks import end_tasks
from ekiben.state.connecting import open_state
from ekiben.state.streams.blocks import EVENTS_STREAM, decode_block
from ekiben.state.streams.events import Event, Exposure, Prediction
from ekiben.state.user import user_hash
from router.records.events import IdMaker, RedisEvents
from router.records.metrics import Metrics
from tests.redis_server import RedisServer
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.services import Service
from tests.waiting import settle, until

SALT = b"a salt of the tests"


def test_an_id_is_a_uuid_of_version_7_that_tells_when_it_was_made() -> None:
    made = uuid.UUID(IdMaker(lambda: 1_795_255_200.123)())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_795_255_200_123


def test_ids_of_one_moment_share_nothing_but_the_moment() -> None:
    new_id = IdMaker(lambda: 1_795_255_200.0)
    drawn = [uuid.UUID(new_id()).int & ((1 << 76) - 1) for _ in range(2000)]
    assert len(set(drawn)) == 2000
    free = [bit for bit in range(76) if bit not in (62, 63)]  # the variant's two bits are fixed
    for bit in free:
        ones = sum(number >> bit & 1 for number in drawn)
        assert 800 < ones < 1200, bit  # about nine standard deviations
    assert {number >> 62 & 3 for number in drawn} == {2}


def event(event_id: str, **columns: Any) -> Exposure:
    return Exposure(event_id, 5.0, **columns)


def captured(event_id: str, features: str) -> Prediction:
    return Prediction(event_id, 5.0, features=features)


class Sender:
    """Events to a real Redis, flushed by the test."""

    def __init__(self, server: RedisServer, limit: int = 1 << 30) -> None:
        self.server = server
        self.metrics = Metrics()
        self.redis = open_state(server.url)
        self.events = RedisEvents(self.redis, self.metrics, limit, IdMaker())

    def count(self, what: str) -> float | None:
        """What the metrics say that has become of events."""
        return self.metrics.registry.get_sample_value(f"ekiben_{what}_total")

    async def read(self) -> list[Event]:
        async with self.server.client() as client:
            blocks = [decode_block(fields) for _, fields in await client.xrange(EVENTS_STREAM)]
        assert len({block.block_id for block in blocks}) == len(blocks)
        return [event for block in blocks for events in block.events.values() for event in events]


@pytest.fixture
async def sender(redis: RedisServer) -> AsyncIterator[Sender]:
    sender = Sender(redis)
    yield sender
    await sender.redis.aclose()


async def test_an_exposure_has_the_columns_of_the_design(router: Router) -> None:
    reply = (await router.client.predict("u-treatment", {"row": 1})).json
    (exposure,) = router.exposures()
    assert exposure.pop("at") > 1.7e9  # type: ignore[operator]
    assert exposure.pop("latency_ms") >= 0  # type: ignore[operator]
    assert exposure == {
        "event_id": reply["prediction_id"],
        "prediction_id": reply["prediction_id"],
        "user_hash": "u-treatment",  # in clear only in the memory of these tests
        "model": "credit",
        "version": "v2",
        "model_version": "credit_v2:1",
        "experiment": "credit-boosting",
        "variant": "treatment",
        "phase": 1,
        "revision": 1,
        "result": "served",
        "assigned_by": "override",
        "cached": False,
        "score": 0.2,
        "decision": "yes",
        "status": 200,
        "scores": None,
        "attributes": None,
    }


async def test_what_a_client_says_of_the_user_is_recorded_as_json(router: Router) -> None:
    body = b'{"user_id": "u-treatment", "features": {"row": 1}, "attributes": {"country": "AT", "age": 33}}'
    assert (await router.client.post("/predict/credit", body)).status == 200
    assert router.exposures()[0]["attributes"] == '{"country":"AT","age":33}'


async def test_a_refused_request_is_recorded_with_its_status(router: Router) -> None:
    await router.client.predict("u-treatment", {"refuse": True})
    (exposure,) = router.exposures()
    assert (exposure["result"], exposure["status"], exposure["score"]) == ("refused", 422, None)


async def test_a_cached_answer_is_recorded_as_one(router: Router) -> None:
    for _ in range(2):
        await router.client.predict("u-treatment", {"row": 1})
    assert [exposure["cached"] for exposure in router.exposures()] == [False, True]


async def test_what_cannot_be_read_is_not_recorded(router: Router) -> None:
    await router.client.post("/predict/credit", b'{"user_id": "u-1"}')
    assert router.events.held == []


async def test_a_request_records_the_revision_it_was_routed_by(router: Router) -> None:
    router.adopt(credit_document(), revision=7)
    await router.client.predict("u-treatment", {"row": 1})
    assert router.exposures()[0]["revision"] == 7


async def test_events_reach_redis_in_order_and_are_counted(sender: Sender) -> None:
    for number in range(12_000):
        sender.events.add(event(str(number), score=number / 7, cached=True))
    await sender.events.flush()
    rows = await sender.read()
    assert [row.event_id for row in rows] == [str(number) for number in range(12_000)]
    assert rows[7].score == 1.0
    assert sender.count("events_sent") == 12_000


async def test_the_user_is_never_in_clear_in_an_event(v1: Service, v2: Service, v3: Service) -> None:
    user = "somebody@example.com"
    document = credit_document(shadow={"v3": 100})
    hashed = partial(user_hash, SALT)
    async with build_app(document, {V1: v1, V2: v2, V3: v3}, hash_user=hashed) as router:
        await router.client.predict(user, {"row": 1})
        await settle()
        hashes = {each["user_hash"] for kind in ("exposure", "shadow") for each in router.exposures(kind)}
        assert hashes == {user_hash(SALT, user)}
        assert user not in str(router.events.held)


async def test_while_redis_is_away_events_wait_and_are_then_sent_once(sender: Sender) -> None:
    sender.server.kill()
    for number in range(10):
        sender.events.add(event(str(number)))
    await sender.events.flush()
    assert sender.events.failing
    for number in range(10, 20):
        sender.events.add(event(str(number)))
    await sender.events.flush()
    assert sender.count("events_sent") == 0
    await sender.server.start()
    await sender.events.flush()
    assert not sender.events.failing
    assert [row.event_id for row in await sender.read()] == [str(number) for number in range(20)]
    assert (sender.count("events_sent"), sender.count("events_dropped")) == (20, 0)


async def test_a_full_redis_makes_events_wait_too(sender: Sender) -> None:
    async with sender.server.client() as client:
        await client.config_set("maxmemory", "1")
        sender.events.add(event("1"))
        await sender.events.flush()
        assert sender.events.failing
        await client.config_set("maxmemory", "0")
    await sender.events.flush()
    assert len(await sender.read()) == 1


async def test_past_the_limit_events_are_dropped_and_counted(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_MAX_HELD", 100)
    sender.server.kill()
    for number in range(250):
        sender.events.add(event(str(number)))
    assert sender.count("events_dropped") == 150
    await sender.server.start()
    await sender.events.flush()
    assert len(await sender.read()) == 100


async def test_a_burst_with_large_attributes_is_bounded_in_memory_and_only_readable_blocks_are_sent(
    sender: Sender,
) -> None:
    about = "x" * 60_000
    for number in range(2_000):
        sender.events.add(event(str(number), attributes=about))
    kept = 64 * 1024 * 1024 // 60_000
    held = [asdict(each)["attributes"] for each in sender.events._held]
    assert held == [about] * kept + [None] * (2_000 - kept)
    await sender.events.flush()
    rows = await sender.read()
    assert [row.event_id for row in rows] == [str(number) for number in range(2_000)]
    assert [asdict(row)["attributes"] for row in rows] == held
    assert (sender.count("events_sent"), sender.count("events_dropped")) == (2_000, 0)


async def test_past_its_byte_limit_the_old_end_of_the_stream_is_trimmed_and_counted(
    redis: RedisServer,
) -> None:
    limit = 100_000
    sender = Sender(redis, limit)
    try:
        for block in range(300):
            for number in range(20):
                sender.events.add(captured(f"{block}-{number}", str(hash((block, number))) * 5))
            await sender.events.flush()
        async with redis.client() as client:
            before = await client.xlen(EVENTS_STREAM)
            assert (await client.memory_usage(EVENTS_STREAM)) > limit
            await sender.events._trim()
            assert (await client.memory_usage(EVENTS_STREAM)) <= limit
            assert sender.count("event_blocks_trimmed") == before - await client.xlen(EVENTS_STREAM) > 0
        rows = await sender.read()
        assert rows[-1].event_id == "299-19"  # the young end stays
    finally:
        await sender.redis.aclose()


async def test_a_stream_within_its_limit_is_left_alone(sender: Sender) -> None:
    sender.events.add(event("1"))
    await sender.events.flush()
    await sender.events._trim()
    assert sender.count("event_blocks_trimmed") == 0
    assert len(await sender.read()) == 1


async def test_what_is_left_is_sent_when_the_sender_stops(sender: Sender) -> None:
    task = asyncio.create_task(sender.events.run())
    sender.events.add(event("1"))
    await until(lambda: sender.count("events_sent") == 1)  # by itself
    sender.events.add(event("2"))
    await end_tasks(task)
    assert [row.event_id for row in await sender.read()] == ["1", "2"]


def test_ids_of_two_processes_never_meet_and_one_process_never_repeats() -> None:
    one, other = IdMaker(), IdMaker()
    ids = [maker() for maker in (one, other) for _ in range(10_000)]
    assert len(set(ids)) == 20_000
