"""Outcomes on their way to a real Redis that syncs every write: one block for many, each once, none lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ekiben.process.tasks import end_tasks
from ekiben.state.connecting import open_state
from ekiben.state.outcomes import GivenOutcome
from ekiben.state.streams.blocks import OUTCOMES_STREAM
from ekiben.state.streams.events import Outcome
from ekiben.state.user import user_hash
from router.errors import NotReady, Overloaded, StateAway, StateNotDurable
from router.records.events import IdMaker
from router.records.metrics import Metrics
from router.records.outcome_writer import OutcomeWriter
from tests.redis_server import RedisServer
from tests.state.reading import events_in
from tests.waiting import until

SALT = b"a salt of the tests"


def outcome(number: int = 1, **changed: Any) -> GivenOutcome:
    fields = {"prediction_id": "p", "user_id": None, "name": "profit", "value": number, "at": 5.0}
    return GivenOutcome(**(fields | {"id": f"o-{number}"} | changed))


class Writing:
    """A writer that runs, over a Redis as in production."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.server = RedisServer(folder, "o", "--appendonly", "yes", "--appendfsync", "always")
        self.metrics = Metrics()
        self.redis = open_state(self.server.url)
        self.writer = OutcomeWriter(self.redis, SALT, self.metrics, IdMaker(), **options)

    async def read(self) -> list[list[Outcome]]:
        """The outcomes of each block."""
        async with self.server.client() as client:
            entries = await client.xrange(OUTCOMES_STREAM)
        return [events_in([entry]) for entry in entries]

    async def ids(self) -> list[str]:
        return [row.event_id for block in await self.read() for row in block]


@contextlib.asynccontextmanager
async def running(folder: Path, **options: Any) -> AsyncIterator[Writing]:
    writing = Writing(folder, **options)
    await writing.server.start()
    task = asyncio.create_task(writing.writer.run())
    try:
        yield writing
    finally:
        await end_tasks(task)
        await writing.redis.aclose()
        writing.server.kill()


@pytest.fixture
async def writing(short_folder: Path) -> AsyncIterator[Writing]:
    # As patient as the tests: nothing here is to depend on how fast the machine is.
    async with running(short_folder, answer_s=30.0) as writing:
        yield writing


async def test_an_outcome_has_the_columns_of_the_design(writing: Writing) -> None:
    await writing.writer.write([outcome(7), outcome(8, prediction_id=None, user_id="somebody", id=None)])
    ((one, two),) = await writing.read()
    assert one == Outcome("o-7", 5.0, "p", None, "profit", 7.0)
    assert two.user_hash == user_hash(SALT, "somebody")
    assert two.event_id
    assert "somebody" not in str(two)


async def test_what_was_written_outlives_a_redis_that_is_killed_right_after(writing: Writing) -> None:
    for number in range(20):
        await writing.writer.write([outcome(number)])
        writing.server.kill()
        await writing.server.start()
    assert await writing.ids() == [f"o-{number}" for number in range(20)]


async def test_a_full_redis_refuses_with_the_reason_and_takes_them_once_it_has_room(
    short_folder: Path,
) -> None:
    async with running(short_folder, answer_s=0.5) as writing:
        await writing.redis.config_set("maxmemory", 1)
        with pytest.raises(StateAway, match="the state Redis has no memory left"):
            await writing.writer.write([outcome(1)])
        assert await writing.ids() == []
        await writing.redis.config_set("maxmemory", 0)
        await writing.writer.write([outcome(1)])
        assert await writing.ids() == ["o-1"]


async def test_nothing_is_taken_while_redis_would_lose_it(short_folder: Path) -> None:
    refusal: list[str | None] = ["set `appendonly yes`"]
    async with running(short_folder, refusal=lambda: refusal[0]) as writing:
        with pytest.raises(StateNotDurable, match="appendonly yes"):
            await writing.writer.write([outcome(1)])
        refusal[0] = None
        await writing.writer.write([outcome(1)])
        assert await writing.ids() == ["o-1"]


async def test_many_requests_at_once_take_few_blocks(writing: Writing) -> None:
    await asyncio.gather(*(writing.writer.write([outcome(number)]) for number in range(1000)))
    assert len(await writing.read()) <= 3
    assert sorted(await writing.ids()) == sorted(f"o-{number}" for number in range(1000))
    told = writing.metrics.registry.get_sample_value
    assert told("ekiben_outcomes_accepted_total") == told("ekiben_outcome_seconds_count") == 1000
    assert writing.writer.waiting == 0


async def test_while_one_block_is_out_the_next_gathers(writing: Writing) -> None:
    writing.server.pause()
    first = asyncio.create_task(writing.writer.write([outcome(0)]))
    await until(lambda: writing.writer.waiting == 1)
    await asyncio.sleep(0.05)  # it is out; were it not, all would be in one block
    rest = [asyncio.create_task(writing.writer.write([outcome(number)])) for number in range(1, 500)]
    await until(lambda: writing.writer.waiting == 500)
    writing.server.resume()
    await asyncio.gather(first, *rest)
    assert len(await writing.read()) <= 2


async def test_a_request_is_never_cut_in_two_and_blocks_stay_small(writing: Writing) -> None:
    writing.server.pause()
    requests = [[outcome(1000 * each + number) for number in range(900)] for each in range(12)]
    tasks = [asyncio.create_task(writing.writer.write(request)) for request in requests]
    await until(lambda: writing.writer.waiting == 12 * 900)
    writing.server.resume()
    await asyncio.gather(*tasks)
    blocks = await writing.read()
    assert all(len(block) <= 5000 and len(block) % 900 == 0 for block in blocks)
    assert sum(map(len, blocks)) == 12 * 900


async def test_a_redis_that_comes_back_in_time_costs_nobody_an_answer(writing: Writing) -> None:
    await writing.writer.write([outcome(1)])
    writing.server.kill()
    tasks = [asyncio.create_task(writing.writer.write([outcome(number)])) for number in range(2, 50)]
    await until(lambda: writing.writer.waiting == 48)
    await writing.server.start()
    await asyncio.gather(*tasks)
    assert sorted(await writing.ids()) == sorted(f"o-{number}" for number in range(1, 50))


async def test_while_redis_is_away_a_request_is_told_so_in_time_and_nobody_else_is_harmed(
    short_folder: Path,
) -> None:
    async with running(short_folder, answer_s=0.2) as writing:
        writing.server.kill()
        for number in range(3):
            with pytest.raises(StateAway):
                await writing.writer.write([outcome(number)])
        assert writing.writer.waiting == 0
        await writing.server.start()

        async def written() -> bool:
            try:
                await writing.writer.write([outcome(9)])
            except StateAway:
                return False  # the machine is busy: as a client would, again with the same id
            return True

        while not await written():
            pass
        assert "o-9" in await writing.ids()


async def test_a_redis_that_hangs_is_no_different_and_what_it_took_it_took_once(short_folder: Path) -> None:
    async with running(short_folder, answer_s=0.2) as writing:
        writing.server.pause()
        with pytest.raises(StateAway):
            await writing.writer.write([outcome(1)])
        writing.server.resume()
        while True:
            with contextlib.suppress(StateAway):
                await writing.writer.write([outcome(2)])
                break
        ids = await writing.ids()
        assert ids.count("o-1") <= 1  # it may have been written all the same


async def test_a_full_redis_is_one_that_is_away(short_folder: Path) -> None:
    async with running(short_folder, answer_s=0.2) as writing:
        async with writing.server.client() as client:
            await client.config_set("maxmemory", "1")
            with pytest.raises(StateAway):
                await writing.writer.write([outcome(1)])
        assert await writing.ids() == []


async def test_past_the_limit_a_request_is_refused_at_once(short_folder: Path) -> None:
    async with running(short_folder, answer_s=30.0, max_waiting=100) as writing:
        writing.server.pause()
        task = asyncio.create_task(writing.writer.write([outcome(number) for number in range(100)]))
        await until(lambda: writing.writer.waiting == 100)
        with pytest.raises(Overloaded):
            await writing.writer.write([outcome(100)])
        writing.server.resume()
        await task
        await writing.writer.write([outcome(100)])


async def test_a_sender_who_leaves_harms_nobody_else(writing: Writing) -> None:
    writing.server.pause()
    tasks = [asyncio.create_task(writing.writer.write([outcome(number)])) for number in range(10)]
    await until(lambda: writing.writer.waiting == 10)
    tasks[4].cancel()
    writing.server.resume()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result).__name__ for result in results if result is not None] == ["CancelledError"]
    assert writing.writer.waiting == 0


async def test_who_waits_when_the_writer_stops_is_told(short_folder: Path) -> None:
    async with running(short_folder, answer_s=30.0) as writing:
        writing.server.pause()
        tasks = [asyncio.create_task(writing.writer.write([outcome(number)])) for number in range(3)]
        await until(lambda: writing.writer.waiting == 3)
        await asyncio.sleep(0.05)
        writing.server.resume()
        writing.server.kill()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None or isinstance(result, NotReady) for result in results)
