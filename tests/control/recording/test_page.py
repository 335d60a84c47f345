"""docs/events.md: what it says to copy runs on real files."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis.asyncio import Redis

from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.intake import BAD_BLOCKS_STREAM, Bad, Intake
from ekiben.control.recording.merging import merge
from ekiben.control.recording.rows import of_later_kinds
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.state.streams.blocks import EVENTS_STREAM
from tests.control.recording.events import Lease, add, exposure, outcome, prediction, read, recorder
from tests.redis_server import RedisServer

PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text()


def block(language: str, which: int = -1) -> str:
    """A block of a language, usually the last: what is to be copied as a whole."""
    found: str = re.findall(rf"```{language}\n(.*?)\n```", PAGE, re.DOTALL)[which]
    return found


@pytest.fixture
async def beside_make_up(redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EventFiles:
    """A folder with events where `make up` has them: two users of each variant, and one by override."""
    monkeypatch.chdir(tmp_path)
    files = EventFiles(".ekiben/events")
    recording = recorder(redis, files)
    assigned: dict[str, Any] = {"experiment": "credit-boosting", "assigned_by": "hash"}
    for number, variant in enumerate(["control", "treatment"] * 2):
        await add(redis, [exposure(f"e{number}", f"u{number}", variant=variant, **assigned)])
        await recording.record_all()
    await add(redis, [exposure("q", "qa", variant="treatment", **assigned | {"assigned_by": "override"})])
    await add(
        redis,
        [
            outcome("1", prediction_id="p-e0", value=10.0),
            outcome("2", user_hash="u1", value=20.0),
            outcome("3", user_hash="u1", value=5.0),
            outcome("4", user_hash="u2", value=99.0, at=1.0),
            outcome("5", user_hash="u3", value=7.0, name="clicks"),
            outcome("6", prediction_id="p-q", value=1e6),
        ],
    )
    await recording.record_all()
    await add(redis, [outcome("2", user_hash="u1", value=-20.0)])
    await recording.record_all()
    # The files it was made from are still there: a reader must count nothing twice.
    merge(files, files.list("exposure"), Lease())
    return files


async def test_the_query_counts_each_user_and_each_outcome_once(beside_make_up: EventFiles) -> None:
    assert len(beside_make_up.list("exposure")) == 6
    with duckdb.connect() as engine:
        rows = engine.sql(block("sql")).fetchall()
    assert rows == [("control", 2, 1, 5.0), ("treatment", 2, 1, 12.5)]


def test_the_lines_for_pandas_give_each_exposure_once_with_the_columns_of_all_releases(
    beside_make_up: EventFiles,
) -> None:
    folder = next(Path(".ekiben/events/kind=exposure").iterdir())
    later = pa.Table.from_pylist([{"event_id": "e9", "received_at": 1.0, "later": "x"}])
    pq.write_table(later, folder / "2-1.000000-1.000001.000001.parquet")
    held: dict[str, Any] = {}
    exec(block("python"), held)
    assert sorted(held["exposures"]["event_id"]) == ["e0", "e1", "e2", "e3", "e9", "q"]
    assert {"later", "variant"} <= set(held["exposures"].columns)


async def test_the_weights_of_a_depth_add_up_however_often_a_file_is_there(
    redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = EventFiles(".ekiben/events")
    recording = recorder(redis, files)
    for number in range(3):
        await add(redis, [prediction(f"e{number}", version="v1", weight=2.0, score=0.5)])
        await recording.record_all()
    merge(files, files.list("prediction"), Lease())
    with duckdb.connect() as engine:
        assert engine.sql(block("sql", 0)).fetchall() == [("v1", 6.0, 0.5)]


async def test_the_lines_that_give_put_aside_events_back_leave_other_bad_blocks_where_they_are(
    redis: Redis, server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EKIBEN_STATE_URL", server.url)
    files, intake = EventFiles(str(tmp_path)), Intake(redis, EVENTS_STREAM)
    await intake.make_group(None)
    await add(redis, [exposure("a")])
    await redis.xadd(EVENTS_STREAM, {"no": "block"})
    taken = await intake.take(1_000)
    # As a release would that does not know exposures.
    later = {taken.ids[0]: {"exposure": [msgspec.Raw(msgspec.msgpack.encode(exposure("a")))]}}
    no_block = Bad([taken.ids[1]], taken.entries[1].fields, "no block")
    await intake.acknowledge(taken, [*of_later_kinds(later), no_block])
    assert await redis.xlen(BAD_BLOCKS_STREAM) == 2
    await asyncio.to_thread(exec, block("python", 0), {})
    await recorder(redis, files).record_all()
    assert read(files, "exposure") == ["a"]
    ((_, left),) = await redis.xrange(BAD_BLOCKS_STREAM)
    assert left[b"no"] == b"block"


def test_the_table_holds_every_column_with_its_type() -> None:
    table = PAGE.split("| column | type |")[1].split("\n\n")[0]
    shown: dict[str, str] = {}
    for line in table.splitlines()[2:]:
        _, columns, types, *_ = (cell.strip() for cell in line.split("|"))
        names = re.findall(r"`(\w+)`", columns)
        kinds = types.split(", ")
        shown |= dict(zip(names, kinds * len(names) if len(kinds) == 1 else kinds, strict=False))
    assert shown == {
        field.name: str(field.type).replace("element: ", "")
        for schema in SCHEMAS.values()
        for field in schema
    }


def test_the_table_says_which_kinds_have_a_column() -> None:
    table = PAGE.split("| column | type |")[1].split("\n\n")[0]
    shown = {}
    for line in table.splitlines()[2:]:
        _, columns, _, kinds, *_ = (cell.strip() for cell in line.split("|"))
        named = set(SCHEMAS) if kinds == "all" else set(kinds.split(", "))
        shown |= dict.fromkeys(re.findall(r"`(\w+)`", columns), named)
    assert shown == {
        name: {kind for kind, schema in SCHEMAS.items() if name in schema.names} for name in shown
    }
