"""Killed at any step, or stopped and woken up: every event is on disk exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ekiben.control.recording.files import EventFiles, Held
from ekiben.control.recording.intake import GROUP, Intake
from ekiben.control.recording.ranges import EventFile, without_contained
from ekiben.control.recording.recorder import Recorder
from ekiben.process.tasks import end_tasks
from ekiben.state.streams.blocks import EVENTS_STREAM, OUTCOMES_STREAM
from tests.control.recording.events import Lease, add, exposure, outcome, read, read_path, recorder, shadow


class Crash(BaseException):
    """The end of the process."""


class CrashingFiles(EventFiles):
    """Event files that end everything at a step: before or after the n-th file is written or made visible."""

    def __init__(self, url: str, at: int) -> None:
        super().__init__(url)
        self._left = at

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Crash

    def stage(self, batches: Iterable[Any], schema: Any) -> Path:
        self._step()
        staged = super().stage(batches, schema)
        self._step()
        return staged

    def publish(self, staged: Path, file: EventFile, lease: Held) -> None:
        self._step()
        super().publish(staged, file, lease)
        self._step()


async def add_all(redis: Redis, start: int = 0) -> None:
    for number in range(start, start + 3):
        await add(redis, [exposure(f"e-{number}"), shadow(f"e-{number}")])
        await add(redis, [exposure(f"f-{number}")])
        await add(redis, [outcome(f"o-{number}")])


def expected(count: int) -> dict[str, list[str]]:
    return {
        "exposure": [f"{letter}-{number}" for number in range(count) for letter in "ef"],
        "shadow": [f"e-{number}.v3" for number in range(count)],
        "outcome": [f"o-{number}" for number in range(count)],
    }


def recorded(files: EventFiles) -> dict[str, list[str]]:
    return {kind: read(files, kind) for kind in ("exposure", "shadow", "outcome")}


# Two steps to write and two to make visible, for a file of each kind.
@pytest.mark.parametrize("step", range(12))
async def test_after_a_crash_at_any_step_the_next_one_records_the_rest_once(
    redis: Redis, tmp_path: Path, step: int
) -> None:
    url = str(tmp_path / "events")
    await add_all(redis)
    with pytest.raises(Crash):
        await recorder(redis, CrashingFiles(url, step)).record_all()
    await add_all(redis, 3)
    files = EventFiles(url)
    await recorder(redis, files).record_all()
    assert recorded(files) == expected(6)
    # What was written is not written again, not even where readers would leave it out.
    for kind in ("exposure", "shadow", "outcome"):
        assert without_contained(files.list(kind)) == files.list(kind)
    assert [await redis.xlen(stream) for stream in (EVENTS_STREAM, OUTCOMES_STREAM)] == [0, 0]


@pytest.mark.parametrize("step", range(0, 12, 3))
async def test_two_crashes_in_a_row_are_as_good_as_one(redis: Redis, tmp_path: Path, step: int) -> None:
    url = str(tmp_path / "events")
    await add_all(redis)
    with pytest.raises(Crash):
        await recorder(redis, CrashingFiles(url, step)).record_all()
    await add_all(redis, 3)
    with pytest.raises(Crash):
        await recorder(redis, CrashingFiles(url, 3)).record_all()
    files = EventFiles(url)
    await recorder(redis, files).record_all()
    assert recorded(files) == expected(6)


async def test_what_was_taken_and_never_written_is_taken_first_by_the_next(
    redis: Redis, files: EventFiles
) -> None:
    await add(redis, [outcome("a")])
    intake = Intake(redis, OUTCOMES_STREAM)
    await intake.make_group(None)
    assert len((await intake.take(1_000_000)).entries) == 1
    await add(redis, [outcome("b")])
    taken = await Intake(redis, OUTCOMES_STREAM).take(1_000_000)
    assert taken.again
    assert len(taken.entries) == 2
    await recorder(redis, files).record_all()
    assert read(files, "outcome") == ["a", "b"]


async def test_nothing_is_trimmed_that_is_not_acknowledged(redis: Redis, files: EventFiles) -> None:
    await add(redis, [outcome("a")])
    taken = await prepare(redis)
    await add(redis, [outcome("b")])
    await Intake(redis, OUTCOMES_STREAM).acknowledge(taken, [])
    assert await redis.xlen(OUTCOMES_STREAM) == 1
    await recorder(redis, files).record_all()
    assert read(files, "outcome") == ["b"]


async def prepare(redis: Redis) -> Any:
    intake = Intake(redis, OUTCOMES_STREAM)
    await intake.make_group(None)
    return await intake.take(1_000_000)


async def test_who_took_only_a_part_of_what_is_pending_sees_it(redis: Redis) -> None:
    await add(redis, [outcome("a")])
    first = await prepare(redis)
    await add(redis, [outcome("b")])
    await redis.xreadgroup(GROUP, "recorder", {OUTCOMES_STREAM: ">"})
    await add(redis, [outcome("c")])
    assert await Intake(redis, OUTCOMES_STREAM).holds_all(first)
    third = await redis.xreadgroup(GROUP, "recorder", {OUTCOMES_STREAM: ">"})
    assert len(third) == 1
    everything = await Intake(redis, OUTCOMES_STREAM).take(1)
    assert len(everything.entries) == 3
    part = type(everything)(everything.entries[::2], True, False)
    assert not await Intake(redis, OUTCOMES_STREAM).holds_all(part)


async def test_a_recorder_that_loses_the_lease_while_it_writes_leaves_everything_to_the_next(
    redis: Redis, tmp_path: Path
) -> None:
    lease = Lease()

    class Stopped(EventFiles):
        """Stopped for long enough that another acts."""

        def stage(self, batches: Iterable[Any], schema: Any) -> Path:
            lease.mine = False
            return super().stage(batches, schema)

    url = str(tmp_path / "events")
    await add_all(redis)
    stopped = recorder(redis, Stopped(url), lease)
    await stopped.record_all()
    assert stopped.failing is None
    assert recorded(EventFiles(url)) == {"exposure": [], "shadow": [], "outcome": []}
    assert list((tmp_path / "events" / ".staging").iterdir()) == []
    await recorder(redis, EventFiles(url)).record_all()
    assert recorded(EventFiles(url)) == expected(3)


async def test_two_that_both_believe_to_hold_the_lease_lose_nothing_and_readers_can_tell_what_came_twice(
    redis: Redis, files: EventFiles
) -> None:
    both = [Recorder(redis, files, Lease(), every_s=0.001, max_round_bytes=2000) for _ in range(2)]
    tasks = [asyncio.create_task(one.run()) for one in both]
    for number in range(300):
        await add(redis, [outcome(f"o-{number}")])
        if number % 10 == 0:
            await asyncio.sleep(0.002)
    await end_tasks(*tasks, again_s=11)
    await recorder(redis, files).record_all()
    readable = files.readable("outcome")
    clean = [name for path in readable.clean for name in read_path(files, path)]
    twice = [name for path in readable.overlapping for name in read_path(files, path)]
    assert len(set(clean)) == len(clean)
    assert not set(clean) & set(twice)
    assert set(clean) | set(twice) == {f"o-{number}" for number in range(300)}


async def test_a_recorder_that_is_cancelled_while_it_writes_finishes_what_it_began(
    redis: Redis, files: EventFiles
) -> None:
    for attempt in range(20):
        await add(redis, [outcome(f"o-{attempt}")])
        running = asyncio.create_task(recorder(redis, files).run())
        for _ in range(attempt):
            await asyncio.sleep(0.0005)
        await end_tasks(running, again_s=11)
    await recorder(redis, files).record_all()
    assert read(files, "outcome") == [f"o-{attempt}" for attempt in range(20)]
