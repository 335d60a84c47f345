"""What is kept, and what is no longer."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import cast

import pytest
from redis.asyncio import Redis

from ekiben.control.recording.clocks import Clocks
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.retention import Retention
from ekiben.state.lease import LeaseLost
from tests.control.recording.events import DAY, NOON, Lease, add, exposure, outcome, put_file, recorder


def ms(day: date) -> int:
    return int(datetime.combine(day, time(12), UTC).timestamp() * 1000)


def put_day(files: EventFiles, day: date, number: int = 0) -> None:
    at = ms(day) + number
    put_file(files, "outcome", at, at, [(at, outcome(f"o-{at}"))], day=day)
    put_file(files, "exposure", at, at, [(at, exposure(f"e-{at}"))], day=day)


def days(files: EventFiles, kind: str) -> list[date]:
    return sorted({file.day for file in files.list(kind)})


def test_days_older_than_they_are_to_be_kept_are_removed_for_every_kind(any_files: EventFiles) -> None:
    kept = [DAY - timedelta(days=age) for age in (2, 1, 0)]
    for day in [DAY - timedelta(days=4), DAY - timedelta(days=3), *kept]:
        put_day(any_files, day)
    removed = Retention(any_files, 2).remove_expired(NOON, Lease(), None)
    assert len(removed) == 4
    assert days(any_files, "outcome") == kept
    assert days(any_files, "exposure") == kept


def test_with_nothing_too_old_nothing_is_removed(any_files: EventFiles) -> None:
    put_day(any_files, DAY)
    assert Retention(any_files, 1).remove_expired(NOON, Lease(), None) == []
    assert days(any_files, "outcome") == [DAY]


def test_without_the_lease_nothing_is_removed(files: EventFiles) -> None:
    put_day(files, DAY - timedelta(days=30))
    put_day(files, DAY)
    with pytest.raises(LeaseLost):
        Retention(files, 1).remove_expired(NOON, Lease(mine=False), None)
    assert len(files.list("outcome")) == 2


def test_with_a_doubt_about_the_clock_nothing_is_removed_and_the_doubt_is_told(files: EventFiles) -> None:
    put_day(files, DAY - timedelta(days=30))
    put_day(files, DAY)
    retention = Retention(files, 1)
    assert retention.remove_expired(NOON, Lease(), "It is five past thirteen.") == []
    assert retention.refused is not None
    assert "1 days of events" in retention.refused
    assert "five past thirteen" in retention.refused
    retention.remove_expired(NOON, Lease(), None)
    assert retention.refused is None
    assert days(files, "outcome") == [DAY]


def test_where_everything_would_go_nothing_goes(files: EventFiles) -> None:
    put_day(files, DAY - timedelta(days=1))
    put_day(files, DAY)
    retention = Retention(files, 400)
    assert retention.remove_expired(NOON + 500 * 86_400, Lease(), None) == []
    assert "even the newest event" in (retention.refused or "")


def test_what_was_recorded_under_an_old_day_by_a_clock_that_was_behind_is_as_young_as_its_entries(
    files: EventFiles,
) -> None:
    put_day(files, DAY)
    at = ms(DAY) + 1
    put_file(files, "outcome", at, at, [(at, outcome("young"))], day=DAY - timedelta(days=500))
    assert Retention(files, 400).remove_expired(NOON, Lease(), None) == []
    assert len(files.list("outcome")) == 2


@pytest.fixture
async def now(redis: Redis) -> float:
    seconds, _ = await redis.time()
    return float(seconds)


async def test_a_clock_that_is_off_is_doubted_and_told(redis: Redis, now: float) -> None:
    for off, told in ((500 * 86_400, "500 days ahead of"), (-7200, "2 h behind")):
        clocks = Clocks(redis, lambda off=off: now + off)
        assert told in (await clocks.doubt() or "")
        assert clocks.off is not None
    right = Clocks(redis, lambda: now)
    await right.look()
    assert right.off is None


async def test_a_clock_is_believed_once_it_has_run_evenly_for_a_day_across_restarts(redis: Redis) -> None:
    class Server:
        """A Redis on the same machine: it jumps with the clock."""

        def __init__(self) -> None:
            self.now = 1_800_000_000.0
            self.hmget, self.hset = redis.hmget, redis.hset

        async def time(self) -> tuple[int, int]:
            return int(self.now), 0

    server = Server()

    async def doubt(later_s: float) -> bool:
        server.now += later_s
        return await Clocks(cast("Redis", server), lambda: server.now).doubt() is not None

    assert await doubt(0)
    assert [await doubt(43_000) for _ in range(3)] == [True, True, False]
    assert await doubt(500 * 86_400)
    assert [await doubt(43_000) for _ in range(3)] == [True, True, False]
    assert await doubt(-500 * 86_400)


async def test_a_file_lies_under_no_day_before_that_of_its_entries(redis: Redis, files: EventFiles) -> None:
    entry = await add(redis, [outcome("a")])
    await recorder(redis, files, clock=lambda: entry.ms / 1000 - 500 * 86_400).record_all()
    (file,) = files.list("outcome")
    assert file.day == datetime.fromtimestamp(entry.ms / 1000, UTC).date()
