"""Outcomes through both clients to a real router: stored once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from ekiben.client import NoAnswer, Outcome, Refused, Unauthorized, Unavailable
from tests.ekiben.client.conftest import KEY, ONLY_PREDICTS, SLOW, Open, Station
from tests.ekiben.client.relay import CUT_AFTER, CUT_BEFORE, HOLD, Relay, answer
from tests.processes import RouterProcess
from tests.redis_server import RedisServer
from tests.router.documents import credit
from tests.waiting import until


def event_id(outcome: Outcome) -> str:
    """As the router makes it of the key's name and the outcome's id."""
    return f"{hashlib.sha256(KEY.encode()).hexdigest()[:12]}:{outcome.id}"


async def test_an_outcome_is_stored_with_the_fields_that_were_given(
    station: Station, open_client: Open
) -> None:
    client = open_client(station.router.url)
    at = datetime(2026, 1, 2, 3, tzinfo=UTC)
    sent = await client.outcome("profit", 12.5, prediction_id="p-1", id="loan-4711-profit", at=at)
    assert (sent.id, sent.prediction_id, sent.user_id) == ("loan-4711-profit", "p-1", None)
    other = await client.outcome("visits", 3, user_id="u-1", at="2026-01-02T03:00:00Z")
    one, two = await station.held()
    assert (one.event_id, one.name, one.value, one.prediction_id, one.at) == (
        event_id(sent),
        "profit",
        12.5,
        "p-1",
        at.timestamp(),
    )
    assert (two.event_id, two.value, two.at) == (event_id(other), 3.0, at.timestamp())
    assert two.user_hash not in (None, "u-1")


async def test_outcomes_without_an_id_get_one_each() -> None:
    made = {Outcome(name="profit", value=1.0, user_id="u").id for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


async def test_where_the_connection_breaks_after_they_were_stored_they_count_once(
    station: Station, relay: Relay, open_client: Open
) -> None:
    relay.moves += [CUT_AFTER, CUT_BEFORE]
    sent = await open_client(relay.url).outcome("profit", 1.0, user_id="u-1")
    assert relay.statuses == [202, 202]
    held = await station.held()
    assert [each.event_id for each in held] == [event_id(sent)] * 2  # readers keep the first of each id


async def test_they_are_sent_again_until_redis_has_confirmed_them(
    station: Station, relay: Relay, open_client: Open
) -> None:
    station.state.pause()
    try:
        sending = asyncio.ensure_future(open_client(relay.url).outcome("profit", 1.0, user_id="u-1"))
        await until(lambda: 503 in relay.statuses)
    finally:
        station.state.resume()
    sent = await sending
    assert relay.statuses[-1] == 202
    assert {each.event_id for each in await station.held()} == {event_id(sent)}


async def test_the_rate_of_a_key_is_waited_for(station: Station, relay: Relay, open_client: Open) -> None:
    client = open_client(relay.url, SLOW)
    while 429 not in relay.statuses:
        begun = time.monotonic()
        await client.outcome("profit", 1.0, user_id="u-1")
    assert time.monotonic() - begun >= 1.0
    assert relay.statuses[-2:] == [429, 202]
    assert len({each.event_id for each in await station.held()}) == relay.statuses.count(202)


async def test_a_retry_after_beyond_the_patience_ends_it_at_once(relay: Relay, open_client: Open) -> None:
    relay.moves.append(answer(503, b"", "Retry-After: 100"))
    with pytest.raises(Unavailable) as raised:
        await open_client(relay.url, patience=50.0).outcome("profit", 1.0, user_id="u-1")
    assert raised.value.retry_after_s == 100
    assert len(relay.requests) == 1


async def test_when_patience_is_over_they_are_kept_and_can_be_sent_later(
    station: Station, relay: Relay, open_client: Open
) -> None:
    client = open_client(relay.url, timeout=0.2)
    outcomes = [Outcome(name="profit", value=value, user_id="u-1") for value in (1.0, 2.0)]
    relay.moves += [HOLD] * 50  # the router gets them after the client has left
    with pytest.raises(NoAnswer):
        await client.outcomes(outcomes, patience=0.5)
    assert len(relay.requests) > 1
    relay.moves.clear()
    relay.released.set()
    await until(lambda: len(relay.statuses) == len(relay.requests))
    await open_client(relay.url).outcomes(outcomes)
    held = await station.held()
    assert len(held) > 2
    assert {each.event_id for each in held} == {event_id(each) for each in outcomes}


async def test_what_is_wrong_with_an_outcome_is_told_by_its_place_and_nothing_is_stored(
    station: Station, relay: Relay, open_client: Open
) -> None:
    good = Outcome(name="profit", value=1.0, user_id="u-1")
    bad = Outcome(name="profit", value=float("nan"), user_id="u-1", prediction_id="p-1")
    with pytest.raises(Refused) as raised:
        await open_client(relay.url).outcomes([good, bad])
    assert raised.value.status == 400
    assert {each.loc for each in raised.value.errors} == {("outcomes", 1), ("outcomes", 1, "value")}
    assert await station.held() == []
    with pytest.raises(Unauthorized, match="may not outcomes"):
        await open_client(relay.url, ONLY_PREDICTS).outcomes([good])
    assert len(relay.requests) == 2  # what is refused is not sent again


async def test_an_answer_that_stores_nothing_is_not_taken_for_one_that_does(
    relay: Relay, open_client: Open
) -> None:
    for said in (answer(200, b"{}"), answer(202, b"{}"), answer(202, b'{"accepted": 0}')):
        relay.moves.append(said)
        with pytest.raises(Exception, match="is not an Ekiben router"):
            await open_client(relay.url).outcome("profit", 1.0, user_id="u-1")


async def test_a_router_that_dies_while_it_stores_them_and_comes_back_has_them_once(
    tmp_path: Path, redis: RedisServer, open_client: Open
) -> None:
    (tmp_path / "experiments.yaml").write_text(yaml.safe_dump(credit()))
    router = RouterProcess(tmp_path, EKIBEN_CACHE_URL=redis.url, EKIBEN_STATE_URL=redis.url)
    router.start()
    try:
        sending = []
        redis.pause()  # it confirms nothing, and stores what is on its way once it goes on
        try:
            client = open_client(router.url, None, patience=120.0)
            sending = [asyncio.ensure_future(client.outcome("n", 1.0, user_id=f"u-{n}")) for n in range(4)]
            await asyncio.sleep(0.5)
            await asyncio.to_thread(router.kill)
        finally:
            redis.resume()
        await asyncio.to_thread(router.start)
        ids = {(await each).id for each in sending}
        held = await Station(router, {}, redis).held()
        assert {each.event_id for each in held} == ids
        assert len(ids) == 4
    finally:
        router.kill()
