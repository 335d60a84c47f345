"""Captured predictions: bounded in every second, with weights that add up, and only where asked for."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from functools import partial
from typing import Any

import pytest

import router.records.events as events_module
import router.records.samples as samples_module
from ekiben.experiments.document import Capture
from ekiben.process.tasks import end_tasks
from ekiben.state.streams.blocks import EVENTS_STREAM
from ekiben.state.streams.events import Prediction
from ekiben.state.user import user_hash
from router.http.costly import Turns
from router.records.events import IdMaker, InMemoryEvents
from router.records.samples import Outbox, Samples, run_samples
from tests.redis_server import RedisServer
from tests.router.conftest import Router, build_app
from tests.router.documents import V1, V2, V3, credit_document
from tests.router.records.test_events import SALT, Sender, captured, event
from tests.router.records.test_peers import agreed
from tests.router.services import Service
from tests.waiting import settle

START = 1_795_262_400


class Workers:
    """Some workers of one installation, each with a model's samples, and what they have sent."""

    def __init__(self, count: int, seed: int = 1, **wanted: Any) -> None:
        self.chance = random.Random(seed)
        self.events = InMemoryEvents()
        self.outbox = Outbox(self.events)
        self.samples = [
            Samples(Capture(**wanted), self.outbox, peers, self.chance.random) for peers in agreed(count)
        ]
        self.asked: Counter[int] = Counter()
        self._numbers = 0

    def ask(self, at: float, count: int, users: int = 10_000, **columns: Any) -> None:
        """So many requests at that time, each to one of the workers."""
        for _ in range(count):
            self._numbers += 1
            self.asked[math.floor(at)] += 1
            samples = self.chance.choice(self.samples)
            key = f"{self.chance.randrange(users) * 2654435761 % 2**32:08x}"
            if samples.wants(at, key):
                request = Prediction(f"p{self._numbers}", at, f"p{self._numbers}", key, **columns)
                samples.take(key, request, b'{"n":%d}' % self._numbers)
        self.outbox.send()

    def rows(self, depth: str) -> list[Prediction]:
        """What was sent, once all seconds are over."""
        for each in self.samples:
            each.close()
        self.outbox.send()
        return [each for each in self.events.held if isinstance(each, Prediction) and each.depth == depth]


def in_seconds(rows: list[Prediction]) -> Counter[int]:
    return Counter(math.floor(row.at) for row in rows)


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_a_burst_after_a_quiet_second_is_bounded_in_that_second(workers: int) -> None:
    running = Workers(workers, per_second=5, scores_per_second=50)
    for second in range(10):
        running.ask(START + second, 2)
    running.ask(START + 10.5, 20_000)
    for depth, budget in (("features", 5), ("scores", 50)):
        found = in_seconds(running.rows(depth))
        assert max(found.values()) <= budget
        assert found[START + 10] == budget


def test_the_weights_of_every_one_of_1000_seconds_add_up_to_its_requests() -> None:
    running = Workers(3, per_second=5, scores_per_second=20)
    for second in range(1000):
        running.ask(START + second + running.chance.random(), running.chance.choice([0, 1, 7, 40, 200]))
    features = running.rows("features")
    weights: Counter[int] = Counter()
    for row in features:
        assert row.weight is not None
        weights[math.floor(row.at)] += row.weight  # type: ignore[assignment]
    assert weights.keys() == {second for second, count in running.asked.items() if count}
    for second, weight in weights.items():
        assert weight == pytest.approx(running.asked[second], rel=1e-12)
    assert max(in_seconds(features).values()) <= 5


@pytest.mark.parametrize("depth", ["features", "scores"])
def test_where_workers_take_turns_no_second_has_too_many_and_no_request_is_missing_in_the_weights(
    depth: str,
) -> None:
    running = Workers(16, per_second=3, scores_per_second=3)
    for second in range(1000):
        running.ask(START + second, 160)
    rows = running.rows(depth)
    assert max(in_seconds(rows).values()) <= 3
    owed = sum(each._owed[depth] for each in running.samples)
    assert sum(row.weight or 0 for row in rows) == pytest.approx(160_000 - owed, rel=1e-12)
    assert owed < 160_000 * 0.02  # what the last turns are still to tell


def test_every_request_of_a_second_has_the_same_chance() -> None:
    running = Workers(1, per_second=5)
    for second in range(4_000):
        running.ask(START + second, 40)
    places = Counter((int(row.event_id[1:].split(".")[0]) - 1) % 40 for row in running.rows("features"))
    expected = 4_000 * 5 / 40
    chi_squared = sum((places[place] - expected) ** 2 / expected for place in range(40))
    assert chi_squared < 39 + 5 * math.sqrt(2 * 39)
    assert sum(places.values()) == 20_000


def test_the_same_users_are_in_the_scores_second_after_second() -> None:
    running = Workers(2, scores_per_second=100)
    for second in range(60):
        running.ask(START + second, 1_000, users=500)
    by_second: dict[int, set[str]] = {}
    for row in running.rows("scores"):
        by_second.setdefault(math.floor(row.at), set()).add(str(row.user_hash))
    highest = [max(users) for users in list(by_second.values())[5:]]
    # Who has a hash below the lowest of the bars was in every second in which he asked.
    assert min(highest) > "10000000"
    assert max(highest) < "28000000"
    assert len(set.union(*by_second.values())) < 100  # of 500


def test_one_user_with_a_high_hash_who_makes_all_requests_is_in_the_scores() -> None:
    running = Workers(1, scores_per_second=20)
    (samples,) = running.samples
    for second in range(11):
        for number in range(1_000):
            if samples.wants(START + second, "ffff0000"):
                request = Prediction(f"p{number}", START + second, f"p{number}", "ffff0000")
                samples.take("ffff0000", request, b"{}")
        running.outbox.send()
    rows = running.rows("scores")
    assert len(in_seconds(rows)) > 4
    assert sum(row.weight or 0 for row in rows) == pytest.approx(11_000)


def test_requests_without_a_user_are_in_the_scores_by_chance() -> None:
    running, make = Workers(1, scores_per_second=50), IdMaker(lambda: 1.8e9)
    (samples,) = running.samples
    for second in range(20):
        for _ in range(500):
            prediction = make()
            if samples.wants(START + second, prediction[-15:]):
                samples.take(
                    prediction[-15:], Prediction(prediction, float(START + second), prediction), b"{}"
                )
        running.outbox.send()
    found = in_seconds(running.rows("scores"))
    assert max(found.values()) <= 50
    assert sum(found.values()) > 20 * 35


async def test_what_is_left_out_is_in_no_event_of_any_kind() -> None:
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    capture = {"per_second": 50, "scores_per_second": 50, "without": ["income", "email"]}
    (peers,) = agreed(1)
    document, hashed = credit_document(capture=capture, shadow={"v3": 100}), partial(user_hash, SALT)
    async with build_app(document, services, peers=peers, hash_user=hashed) as router:
        body = (
            b'{"user_id": "u-treatment", "features": {"age": 33, "income": 1234.5},'
            b' "attributes": {"email": "a@b.c", "country": "AT"}}'
        )
        assert (await router.client.post("/predict/credit", body)).status == 200
        await settle()
    kinds = [type(each).__name__ for each in router.events.held]  # a worker that stops sends what it holds
    assert sorted(kinds) == ["Exposure", "Prediction", "Prediction", "ShadowAnswer"]
    assert "a@b.c" not in str(router.events.held)
    assert "1234.5" not in str(router.events.held)
    attributes = [row["attributes"] for kind in ("exposure", "prediction") for row in router.exposures(kind)]
    assert attributes == ['{"country":"AT"}'] * 3
    assert [row["features"] for row in router.exposures("prediction")] == ['{"age":33}', None]


def test_a_change_of_the_budget_holds_from_the_next_second_on() -> None:
    running = Workers(1, per_second=5)
    running.ask(START + 0.1, 100)
    running.samples[0].wanted = Capture(per_second=2)
    running.ask(START + 0.2, 100)
    running.ask(START + 1.1, 100)
    assert in_seconds(running.rows("features")) == {START: 5, START + 1: 2}


def test_a_clock_that_is_set_back_a_little_begins_no_second_twice() -> None:
    running = Workers(1, per_second=5)
    running.ask(START + 1.001, 100)
    running.ask(START + 0.999, 100)
    running.ask(START + 1.002, 100)
    assert len(running.rows("features")) == 5


MEGABYTE = b'{"income":1,"text":"%s"}' % (b"x" * 1_000_000)


def take(samples: Samples, at: float, features: bytes, attributes: str | None = None) -> None:
    """One request that comes then, if it is wanted."""
    if samples.wants(at, "5"):
        samples.take("5", Prediction("p", at, "p", "5", attributes=attributes), features)


async def test_the_end_of_a_second_makes_no_events_and_the_loop_runs_between_two_large_ones() -> None:
    running = Workers(1, per_second=20, without=["income"])
    (samples,) = running.samples
    for _ in range(20):
        take(samples, START, MEGABYTE)
    samples.turn(START + 1)
    assert running.events.held == []
    seen: list[int] = []
    task = asyncio.create_task(run_samples(lambda: running.samples, running.outbox, Turns()))
    while len(running.events.held) < 20:
        await asyncio.sleep(0)
        seen.append(len(running.events.held))
    await end_tasks(task)
    assert set(seen) == set(range(21))  # never two of them in one turn of the loop
    sizes = {len(str(row.features)) for row in running.rows("features")}
    assert sizes == {len(MEGABYTE) - len('"income":1,')}


async def test_many_small_rows_are_sent_in_few_turns_of_the_loop() -> None:
    running = Workers(1, scores_per_second=2_000)
    (samples,) = running.samples
    for _ in range(2_000):
        take(samples, START, b"{}")
    samples.turn(START + 1)
    running.outbox.send(samples_module._STEP_BYTES)
    assert 500 < len(running.events.held) < 2_000


@pytest.mark.parametrize("depth", ["features", "scores"])
def test_what_clients_sent_of_held_rows_is_bounded_and_every_request_counts(
    monkeypatch: pytest.MonkeyPatch, depth: str
) -> None:
    monkeypatch.setattr(samples_module, "_MAX_BYTES", 10_000)
    running = Workers(1, **{"features": {"per_second": 10}, "scores": {"scores_per_second": 10}}[depth])
    (samples,) = running.samples
    sent = {"features": (b"x" * 500, "y" * 500), "scores": (b"", "y" * 1_000)}[depth]
    for second in range(50):  # and nobody sends them
        for number in range(20):
            take(samples, START + second, sent[0] + b"z" * (number % 2), sent[1] + "z" * (number % 2))
        held = [samples._features.held, samples._scores.held, *(rows for *_, rows in running.outbox.batches)]
        in_bytes = [
            sum(len(row) + len(request.attributes or "") for _, _, request, row in rows) for rows in held
        ]
        assert max(in_bytes) <= 10_000
        assert len(held) <= 3
    running.outbox.send()
    assert {
        (len(str(row.attributes)), row.features and len(row.features)) for row in running.events.held
    } <= {(len(sent[1]), len(sent[0]) or None), (len("None"), None)}
    take(samples, START + 50, b"{}")
    rows = running.rows(depth)
    assert sum(row.weight or 0 for row in rows) == pytest.approx(50 * 20 + 1)


async def test_nothing_is_captured_unless_asked_for(router: Router) -> None:
    await router.client.predict("u-treatment", {"row": 1})
    assert router.worker.routes["credit"].samples is None
    assert router.exposures("prediction") == []


async def test_requests_inside_experiments_and_outside_are_captured_whatever_became_of_them() -> None:
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    document = credit_document(capture={"per_second": 50, "scores_per_second": 50, "without": ["row"]})
    (peers,) = agreed(1)
    hashed = partial(user_hash, SALT)
    async with build_app(document, services, peers=peers, hash_user=hashed) as router:
        await router.client.post(
            "/predict/credit", '{"user_id": "u-control", "features": {"row": 1, "b": "é"}}'.encode()
        )
        await router.client.predict(None, {"row": 2})
        await router.client.predict("u-treatment", {"refuse": True})
        exposures = router.exposures()
        router.adopt(credit_document())  # what is held goes to the outbox
        router.worker.builder.outbox.send()
    rows = router.exposures("prediction")
    features = [row for row in rows if row["depth"] == "features"]
    assert len(rows) == 2 * len(features) == 6
    assert [row["features"] for row in features] == ['{"b":"é"}', "{}", '{"refuse":true}']
    assert [row["weight"] for row in features] == [1.0, 1.0, 1.0]
    assert [row["user_hash"] for row in features] == [hashed("u-control"), None, hashed("u-treatment")]
    assert [(row["variant"], row["phase"]) for row in features] == [
        ("control", 1),
        (None, None),
        ("treatment", 1),
    ]
    assert [(row["result"], row["status"]) for row in features] == [
        ("served", 200),
        ("served", 200),
        ("refused", 422),
    ]
    # An exposure and a captured request tell the same of what they share.
    (first, _) = exposures
    assert {name: features[0][name] for name in first} == first | {"event_id": features[0]["event_id"]}


async def test_samples_go_on_over_a_change_of_the_experiments() -> None:
    services = {V1: Service("v1"), V2: Service("v2"), V3: Service("v3")}
    (peers,) = agreed(1)
    async with build_app(credit_document(capture={"per_second": 5}), services, peers=peers) as router:
        before = router.worker.routes["credit"].samples
        router.adopt(credit_document(capture={"per_second": 7}))
        after = router.worker.routes["credit"].samples
        assert before is after is not None
        assert after.wanted.per_second == 7


TEXTS = ({"features": "x" * 300}, {"attributes": "x" * 300}, {"features": "x" * 100, "attributes": "x" * 200})


@pytest.mark.parametrize("columns", TEXTS)
async def test_blocks_with_texts_of_clients_stay_small_and_whole(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, columns: dict[str, str]
) -> None:
    monkeypatch.setattr(events_module, "_MAX_BLOCK_TEXT", 1000)
    sender = Sender(redis)
    for number in range(30):
        sender.events.add(Prediction(str(number), 5.0, **columns))
    await sender.events.flush()
    assert [row.event_id for row in await sender.read()] == [str(number) for number in range(30)]
    async with redis.client() as client:
        assert await client.xlen(EVENTS_STREAM) == 10
    assert sender.events._held_text == 0
    await sender.redis.aclose()


async def test_while_redis_is_away_captured_features_give_way_and_exposures_do_not(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_module, "_MAX_HELD_TEXT", 1000)
    sender = Sender(redis)
    for number in range(10):
        sender.events.add(captured(f"c{number}", "x" * 300))
        sender.events.add(event(f"e{number}"))
    await sender.events.flush()
    kept = [row.event_id for row in await sender.read()]
    assert sorted(kept) == sorted(["c0", "c1", "c2", *(f"e{number}" for number in range(10))])
    assert (sender.count("events_sent"), sender.count("events_dropped")) == (13, 7)
    await sender.redis.aclose()
