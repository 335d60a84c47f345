"""The recorder: every event on disk once, nothing trimmed before, nothing in its way for long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.intake import BAD_BLOCKS_STREAM, GROUP
from ekiben.control.recording.recorder import Recorder
from ekiben.process.tasks import end_tasks
from ekiben.state.streams.blocks import EVENTS_STREAM, OUTCOMES_STREAM
from ekiben.state.streams.events import Event
from tests.control.recording.events import Lease, add, exposure, outcome, read, recorder, shadow
from tests.redis_server import RedisServer
from tests.waiting import until, until_async


@contextlib.asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[Recorder]:
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        await end_tasks(task, again_s=11)


async def test_a_server_that_lost_entries_and_whose_clock_is_behind_gives_no_id_that_a_file_claims(
    redis: Redis, files: EventFiles
) -> None:
    far = "32503680000000-0"
    await redis.xgroup_create(OUTCOMES_STREAM, GROUP, id="0", mkstream=True)
    await redis.execute_command("XSETID", OUTCOMES_STREAM, far)  # type: ignore[no-untyped-call]
    recording = recorder(redis, files)
    await add(redis, [outcome("a")])
    await recording.record_all()
    await redis.delete(OUTCOMES_STREAM)
    await redis.xgroup_create(OUTCOMES_STREAM, GROUP, id="0", mkstream=True)
    await recording.record_all()
    await add(redis, [outcome("b")])
    await recording.record_all()
    assert [len(files.readable("outcome").clean), read(files, "outcome")] == [2, ["a", "b"]]


async def test_every_kind_of_event_goes_into_a_file_of_its_kind_and_leaves_the_stream(
    redis: Redis, any_files: EventFiles
) -> None:
    await add(redis, [exposure("a"), shadow("a"), exposure("b")])
    await add(redis, [exposure("c")])
    await add(redis, [outcome("o")])
    recording = recorder(redis, any_files)
    assert not await recording.record_all()
    assert read(any_files, "exposure") == ["a", "b", "c"]
    assert read(any_files, "shadow") == ["a.v3"]
    assert read(any_files, "outcome") == ["o"]
    assert recording.recorded == {"exposure": 3, "prediction": 0, "shadow": 1, "outcome": 1}
    assert [await redis.xlen(stream) for stream in (EVENTS_STREAM, OUTCOMES_STREAM)] == [0, 0]
    assert (await redis.xpending(OUTCOMES_STREAM, GROUP))["pending"] == 0


async def test_an_event_keeps_its_columns_and_says_when_it_was_received(
    redis: Redis, files: EventFiles
) -> None:
    entry = await add(redis, [exposure("a", score=0.25, status=200, attributes='{"x":1}')])
    await recorder(redis, files).record_all()
    (file,) = files.list("exposure")
    assert (file.first, file.last) == (entry, entry)
    with files.open(file) as opened:
        (row,) = opened.read().to_pylist()
    assert row["score"] == 0.25
    assert row["status"] == 200
    assert row["cached"] is False
    assert row["attributes"] == '{"x":1}'
    assert row["scores"] is None
    assert row["received_at"] == entry.received_at


async def test_it_goes_on_recording_until_it_is_cancelled_and_then_records_what_is_left(
    redis: Redis, files: EventFiles
) -> None:
    recording = Recorder(redis, files, Lease(), every_s=3600)
    async with running(recording):
        await until(lambda: recording.lag_s is not None)
        await add(redis, [outcome("a")])
        recording.hurry()
        await until(lambda: recording.recorded["outcome"] == 1)
        await add(redis, [outcome("b")])
    assert read(files, "outcome") == ["a", "b"]


async def test_without_the_lease_nothing_is_touched(redis: Redis, files: EventFiles) -> None:
    await add(redis, [outcome("a")])
    recording = recorder(redis, files, Lease(mine=False))
    await recording.record_all()
    assert files.list("outcome") == []
    assert await redis.xinfo_groups(OUTCOMES_STREAM) == []
    assert recording.lag_s is None


async def test_what_was_accepted_is_recorded_with_what_repeats_an_id_so_that_reports_can_tell_of_it(
    redis: Redis, files: EventFiles
) -> None:
    await add(redis, [outcome("a", value=1.0), outcome("b"), outcome("a", value=2.0)])
    await add(redis, [outcome("a", value=3.0)])
    await recorder(redis, files).record_all()
    assert read(files, "outcome") == ["a", "b", "a", "a"]
    assert read(files, "outcome", "value") == [1.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    "bad",
    [exposure("x", score="much"), exposure("x", phase=2**40), outcome("x")],
    ids=["a value of the wrong type", "a number too large", "the other stream's kind"],
)
async def test_a_bad_block_is_put_aside_and_the_others_are_recorded(
    redis: Redis, files: EventFiles, bad: Event
) -> None:
    await add(redis, [exposure("a")])
    await add(redis, [exposure("beside it"), bad])
    await add(redis, [exposure("c")])
    recording = recorder(redis, files)
    await recording.record_all()
    assert read(files, "exposure") == ["a", "c"]
    assert read(files, "outcome") == []
    assert recording.bad_blocks == 1
    ((_, kept),) = await redis.xrange(BAD_BLOCKS_STREAM)
    assert (kept[b"stream"], kept[b"count"]) == (EVENTS_STREAM.encode(), b"2")
    assert await redis.xlen(EVENTS_STREAM) == 0


async def test_what_is_no_block_at_all_is_put_aside_with_the_reason(redis: Redis, files: EventFiles) -> None:
    await redis.xadd(OUTCOMES_STREAM, {"hello": "world"})
    await add(redis, [outcome("a")])
    recording = recorder(redis, files)
    await recording.record_all()
    assert read(files, "outcome") == ["a"]
    assert recording.bad_blocks == 1
    assert recording.failing is None
    ((_, kept),) = await redis.xrange(BAD_BLOCKS_STREAM)
    assert kept[b"hello"] == b"world"
    assert kept[b"stream"] == OUTCOMES_STREAM.encode()
    assert b"format" in kept[b"reason"]
    assert await redis.xlen(OUTCOMES_STREAM) == 0


async def test_a_redis_without_memory_for_a_bad_block_keeps_it_pending_and_records_the_rest(
    redis: Redis, files: EventFiles
) -> None:
    recording = recorder(redis, files)
    await recording.record_all()
    await redis.xadd(OUTCOMES_STREAM, {"hello": "world"})
    await add(redis, [outcome("a")])
    await redis.config_set("maxmemory", "1")
    await recording.record_all()
    assert read(files, "outcome") == ["a"]
    assert await redis.xlen(OUTCOMES_STREAM) == 1
    await redis.config_set("maxmemory", "0")
    await recording.record_all()
    assert await redis.xlen(OUTCOMES_STREAM) == 0
    assert await redis.xlen(BAD_BLOCKS_STREAM) == 1


async def test_a_round_takes_no_more_than_its_limit_and_the_next_goes_on(
    redis: Redis, files: EventFiles
) -> None:
    expected = [f"o-{number}" for number in range(100)]
    for name in expected:
        await add(redis, [outcome(name)])
    recording = recorder(redis, files, max_round_bytes=1)
    assert await recording.record_all()
    assert 0 < recording.recorded["outcome"] < 100
    while await recording.record_all():
        pass
    assert read(files, "outcome") == expected


async def test_while_the_disk_refuses_nothing_is_acknowledged_and_then_all_is_recorded(
    redis: Redis, tmp_path: Path
) -> None:
    (tmp_path / "events").write_text("not a directory")
    files = EventFiles(str(tmp_path / "events"))
    recording = recorder(redis, files)
    async with running(recording):
        await add(redis, [outcome("a")])
        await until(lambda: recording.failing is not None)
        assert OUTCOMES_STREAM in str(recording.failing)
        assert await redis.xlen(OUTCOMES_STREAM) == 1
        (tmp_path / "events").unlink()
        await until(lambda: recording.recorded["outcome"] == 1)
        await until(lambda: recording.failing is None)
    assert read(files, "outcome") == ["a"]


async def test_a_redis_that_was_away_and_came_back_empty_is_recorded_again(
    server: RedisServer, redis: Redis, files: EventFiles
) -> None:
    await add(redis, [outcome("a")])
    recording = recorder(redis, files)
    async with running(recording):
        await until(lambda: recording.recorded["outcome"] == 1)
        server.kill()
        await until(lambda: recording.failing is not None)
        await server.start()
        await until_async(lambda: _accepts(redis))
        await until(lambda: recording.recorded["outcome"] == 2)
        await until(lambda: recording.failing is None)
    assert read(files, "outcome") == ["a", "b"]


async def _accepts(redis: Redis) -> bool:
    await add(redis, [outcome("b")])
    return True


async def test_after_a_redis_came_back_with_its_clock_behind_new_entries_lie_above_what_is_recorded(
    server: RedisServer, redis: Redis, files: EventFiles
) -> None:
    # Far in the future: Redis goes on from there.
    await redis.execute_command("XADD", OUTCOMES_STREAM, "9999999999999-0", "hello", "world")
    await redis.xtrim(OUTCOMES_STREAM, maxlen=0, approximate=False)
    await add(redis, [outcome("a")])
    await recorder(redis, files).record_all()
    await redis.flushall()
    recording = recorder(redis, files)
    await recording.record_all()
    entry = await add(redis, [outcome("b")])
    assert entry > files.list("outcome")[0].last
    await recording.record_all()
    assert read(files, "outcome") == ["a", "b"]


async def test_the_lag_is_the_age_of_what_is_not_on_disk(redis: Redis, tmp_path: Path) -> None:
    entry = await add(redis, [outcome("a")])
    now = entry.ms / 1000 + 60
    (tmp_path / "events").write_text("not a directory")
    recording = recorder(redis, EventFiles(str(tmp_path / "events")), clock=lambda: now)
    assert recording.lag_s is None
    await recording.record_all()
    assert recording.lag_s == pytest.approx(60)
    (tmp_path / "events").unlink()
    await recording.record_all()
    assert recording.lag_s == 0
    now += 7
    assert recording.lag_s == pytest.approx(7)
