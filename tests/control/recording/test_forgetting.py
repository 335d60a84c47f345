"""A user who is forgotten is in no file and no stream, and nobody else has lost anything."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.forgetting import (
    REQUESTS_KEY,
    Forgetting,
    Forgotten,
    NotForgotten,
    find_theirs,
)
from ekiben.control.recording.housekeeping import Housekeeper
from ekiben.control.recording.intake import BAD_BLOCKS_STREAM
from ekiben.control.recording.merging import merge
from ekiben.control.recording.recorder import Recorder
from ekiben.process.tasks import end_tasks
from ekiben.state.lease import LeaseLost
from ekiben.state.streams.blocks import EVENTS_STREAM, encode_block
from tests.control.recording.events import (
    NOON,
    Lease,
    add,
    exposure,
    forget_in_files,
    outcome,
    prediction,
    put_file,
    read,
    recorder,
    shadow,
)
from tests.redis_server import RedisServer
from tests.waiting import until

MS = int(NOON * 1000)


def put_users(files: EventFiles) -> None:
    """Two users, Ann and Ben, with everything that can be theirs."""
    put_file(
        files,
        "exposure",
        MS,
        MS + 9,
        [(MS, exposure("a1", "ann")), (MS, exposure("b1", "ben")), (MS + 9, exposure("a2", "ann"))],
    )
    put_file(files, "exposure", MS + 10, MS + 10, [(MS + 10, exposure("b2", "ben"))])
    put_file(
        files,
        "prediction",
        MS,
        MS,
        [(MS, prediction("a9", "ann")), (MS, prediction("b9", "ben")), (MS, prediction("x", None))],
    )
    put_file(
        files, "shadow", MS, MS, [(MS, shadow("a1", user_hash="ann")), (MS, shadow("b1", user_hash="ben"))]
    )
    put_file(
        files,
        "outcome",
        MS + 20,
        MS + 22,
        [
            (MS + 20, outcome("by user", user_hash="ann")),
            (MS + 20, outcome("by prediction", prediction_id="p-a2")),
            (MS + 21, outcome("Ben's by prediction", prediction_id="p-b1")),
            (MS + 22, outcome("Ben's by user", user_hash="ben")),
            (MS + 22, outcome("of nobody known", prediction_id="p-x")),
        ],
    )


def test_all_that_is_the_users_is_removed_and_nothing_else(any_files: EventFiles) -> None:
    put_users(any_files)
    before = {kind: any_files.list(kind) for kind in any_files.kinds()}
    forgotten = forget_in_files(any_files, "ann", Lease())
    assert forgotten == Forgotten(exposures=2, predictions=1, shadows=1, outcomes=2, files=4)
    assert read(any_files, "exposure") == ["b1", "b2"]
    assert read(any_files, "prediction") == ["b9.scores", "x.scores"]
    assert read(any_files, "shadow") == ["b1.v3"]
    assert read(any_files, "outcome") == ["Ben's by prediction", "Ben's by user", "of nobody known"]
    assert {kind: any_files.list(kind) for kind in before} == before
    assert forget_in_files(any_files, "ann", Lease()) == Forgotten()


def test_a_file_that_a_merged_one_stands_for_is_rewritten_too(files: EventFiles) -> None:
    put_users(files)
    merge(files, files.list("exposure"), Lease())
    assert forget_in_files(files, "ann", Lease()).exposures == 2
    for file in files.list("exposure"):
        with files.open(file) as opened:
            assert "ann" not in opened.read().column("user_hash").to_pylist()


async def test_a_request_that_is_done_again_after_a_crash_tells_what_the_first_attempt_found(
    redis: Redis, files: EventFiles
) -> None:
    put_users(files)
    await redis.hset(REQUESTS_KEY, "r", "ann")  # type: ignore[misc]
    broken = Broken(files.root)
    broken.left = 1
    with pytest.raises(OSError, match="no space left"):
        await Forgetting(redis, broken, Lease(), lambda: None).do_requests()
    await Forgetting(redis, files, Lease(), lambda: None).do_requests()
    told = msgspec.json.decode(await redis.get("ekiben:forgotten:r"), type=Forgotten)
    assert told == Forgotten(exposures=2, predictions=1, shadows=1, outcomes=2, files=4)


async def test_what_was_computed_of_a_user_is_removed_once_the_files_have_nothing_of_the_user(
    redis: Redis, files: EventFiles
) -> None:
    put_users(files)
    await redis.hset(REQUESTS_KEY, "r", "ann")  # type: ignore[misc]
    found: list[Forgotten] = []

    def forgotten() -> None:
        found.append(find_theirs(files, "ann", Lease()).counted)

    await Forgetting(redis, files, Lease(), lambda: None, forgotten).do_requests()
    assert found == [Forgotten()]


async def test_blocks_put_aside_that_are_the_users_or_cannot_be_read_go_and_others_stay(
    redis: Redis, files: EventFiles
) -> None:
    put_users(files)
    for fields in (
        encode_block("1", [exposure("a9", "ann")]),
        encode_block("2", [outcome("by prediction", prediction_id="p-a2")]),
        encode_block("3", [exposure("b9", "ben")]),
        {b"format": b"?", b"events": b"ann"},
    ):
        await redis.xadd(BAD_BLOCKS_STREAM, dict(fields))  # type: ignore[arg-type]
    await redis.hset(REQUESTS_KEY, "r", "ann")  # type: ignore[misc]
    await Forgetting(redis, files, Lease(), lambda: None).do_requests()
    assert [fields[b"id"] for _, fields in await redis.xrange(BAD_BLOCKS_STREAM)] == [b"3"]


async def test_redis_is_asked_to_rewrite_its_log_after_a_user_was_forgotten(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        server = RedisServer(Path(folder), "r", "--appendonly", "yes")
        await server.start()
        redis = server.client()
        await redis.set("noise", "ann")
        await redis.delete("noise")
        await redis.hset(REQUESTS_KEY, "r", "ann")  # type: ignore[misc]
        log = Path(folder) / "appendonly.aof"
        assert b"ann" in log.read_bytes()
        await Forgetting(redis, EventFiles(str(tmp_path)), Lease(), lambda: None).do_requests()
        await until(lambda: b"ann" not in log.read_bytes())
        await redis.aclose()
        server.kill()


def test_a_file_without_a_row_left_keeps_its_range(files: EventFiles) -> None:
    file = put_file(files, "exposure", MS, MS, [(MS, exposure("a1", "ann"))])
    forget_in_files(files, "ann", Lease())
    assert files.list("exposure") == [file]
    assert read(files, "exposure") == []


class Broken(EventFiles):
    """Event files that a full disk allows to be written a few times."""

    left = 0

    def stage(self, batches: Iterable[Any], schema: Any) -> Path:
        if self.left == 0:
            raise OSError("no space left")
        self.left -= 1
        return super().stage(batches, schema)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_broken_off_anywhere_and_done_again_nothing_of_the_user_is_left(
    files: EventFiles, written: int
) -> None:
    put_users(files)
    broken = Broken(files.root)
    broken.left = written
    with pytest.raises(OSError, match="no space left"):
        forget_in_files(broken, "ann", Lease())
    forget_in_files(files, "ann", Lease())
    assert read(files, "exposure") == ["b1", "b2"]
    assert read(files, "shadow") == ["b1.v3"]
    assert read(files, "outcome") == ["Ben's by prediction", "Ben's by user", "of nobody known"]


def test_without_the_lease_no_file_is_touched(files: EventFiles) -> None:
    put_users(files)
    with pytest.raises(LeaseLost):
        forget_in_files(files, "ann", Lease(mine=False))
    assert len(read(files, "exposure")) == 4


@contextlib.asynccontextmanager
async def controller(redis: Redis, files: EventFiles, lease: Lease) -> AsyncIterator[Forgetting]:
    """What of a controller records and keeps house."""
    recording = Recorder(redis, files, lease, every_s=3600)
    forgetting = Forgetting(redis, files, lease, recording.hurry)
    tasks = [
        asyncio.create_task(recording.run()),
        asyncio.create_task(Housekeeper(files, lease, forgetting, keep_days=400).run()),
    ]
    try:
        yield forgetting
    finally:
        await end_tasks(*tasks, again_s=11)


async def test_what_still_lies_in_the_streams_is_forgotten_too(redis: Redis, files: EventFiles) -> None:
    await add(redis, [exposure("a1", "ann"), exposure("b1", "ben")])
    await add(redis, [outcome("a", prediction_id="p-a1"), outcome("b", prediction_id="p-b1")])
    async with controller(redis, files, Lease()) as forgetting:
        forgotten = await forgetting.forget("ann", within_s=30)
    assert forgotten == Forgotten(exposures=1, shadows=0, outcomes=1, files=2)
    assert await redis.xlen(EVENTS_STREAM) == 0
    assert read(files, "exposure") == ["b1"]
    assert read(files, "outcome") == ["b"]
    assert await redis.hlen(REQUESTS_KEY) == 0  # type: ignore[misc]


async def test_a_controller_without_the_lease_has_it_done_by_the_one_that_holds_it(
    redis: Redis, files: EventFiles
) -> None:
    put_users(files)
    async with (
        controller(redis, files, Lease(mine=False)) as asked,
        controller(redis, files, Lease()),
    ):
        assert (await asked.forget("ann", within_s=30)).exposures == 2


async def test_while_no_controller_leads_the_request_waits_and_is_done_later(
    redis: Redis, files: EventFiles
) -> None:
    put_users(files)
    lease = Lease(mine=False)
    async with controller(redis, files, lease) as forgetting:
        with pytest.raises(NotForgotten, match="the request stands"):
            await forgetting.forget("ann", within_s=0.2)
    lease.mine = True
    await Forgetting(redis, files, lease, lambda: None).do_requests()
    assert read(files, "exposure") == ["b1", "b2"]
    assert await redis.hlen(REQUESTS_KEY) == 0  # type: ignore[misc]


async def test_a_user_whose_events_come_while_others_are_recorded_loses_only_what_was_there(
    redis: Redis, files: EventFiles
) -> None:
    await add(redis, [exposure("a1", "ann")])
    await recorder(redis, files).record_all()
    async with controller(redis, files, Lease()) as forgetting:
        await forgetting.forget("ann", within_s=30)
        await add(redis, [exposure("a2", "ann")])
    assert read(files, "exposure") == ["a2"]


async def test_a_housekeeper_removes_and_merges_what_it_finds(redis: Redis, files: EventFiles) -> None:
    for at in (MS, MS + 10):
        put_file(files, "outcome", at, at, [(at, outcome(f"o-{at}"))])
    old = MS - 86_400_000 * 10
    keeper = Housekeeper(
        files,
        Lease(),
        Forgetting(redis, files, Lease(), lambda: None),
        keep_days=5,
        clock=lambda: NOON + 3 * 86_400,
    )
    put_file(
        files,
        "exposure",
        old,
        old,
        [(old, exposure("x"))],
        day=date(2026, 11, 11),
    )
    keeper.tidy()
    assert files.list("exposure") == []
    (path,) = files.readable("outcome").clean
    assert path.endswith(f"{MS + 10:014d}.000000.parquet")
