"""Backups of real installations, restored into empty ones: nothing is missing, nothing is twice."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from redis.asyncio import Redis
from rich.console import Console

from ekiben.backup.folder import read_manifest
from ekiben.backup.restore import restore
from ekiben.backup.save import back_up
from ekiben.backup.state_copy import read_state, write_state
from ekiben.control.analysis.analysing import Analyses
from ekiben.control.analysis.tables import DuckDBTables
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.intake import BAD_BLOCKS_STREAM
from ekiben.control.recording.merging import Merging
from ekiben.control.recording.recorder import Recorder
from ekiben.control.recording.schemas import SCHEMAS
from ekiben.experiments.changes.verbs import act
from ekiben.state.connecting import open_state
from ekiben.state.documents.audit import Audit
from ekiben.state.documents.document import AUDIT_STREAM, DocumentStore
from ekiben.state.embedded import EmbeddedRedis
from ekiben.state.lease import Lease
from ekiben.state.streams.blocks import EVENTS_STREAM
from ekiben.state.streams.events import Exposure, Outcome
from ekiben.terminal.errors import EkibenError, UsageError
from tests.control.analysis.events import KEY, START, metric, stored
from tests.control.conftest import s3 as s3_service
from tests.control.recording.events import Lease as Mine
from tests.control.recording.events import add
from tests.processes import RouterProcess
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit
from tests.waiting import until, until_async

DOCUMENT = stored(metric()).document
s3 = s3_service


def screen() -> Console:
    return Console(file=io.StringIO())


@dataclass
class Place:
    """An installation: its Redis, and the variables that describe it."""

    server: RedisServer
    environ: dict[str, str]

    @property
    def files(self) -> EventFiles:
        return EventFiles(self.environ["EKIBEN_EVENTS_URL"], self.environ)

    @property
    def salt(self) -> Path:
        return Path(self.environ["EKIBEN_DATA_DIR"]) / "user_salt"


@pytest.fixture
def place() -> Iterator[Callable[[], Place]]:
    """Makes empty installations."""
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        made: list[RedisServer] = []

        def make() -> Place:
            where = Path(folder) / str(len(made))
            where.mkdir()
            made.append(server := RedisServer(where, "r"))
            asyncio.run(server.start())
            environ = {
                "EKIBEN_STATE_URL": server.url,
                "EKIBEN_DATA_DIR": str(where / "data"),
                "EKIBEN_EVENTS_URL": str(where / "data" / "events"),
            }
            return Place(server, environ)

        yield make
        for server in made:
            server.kill()


def exposure(user: int) -> Any:
    variant = ("control", "treatment")[user % 2]
    columns: dict[str, Any] = {
        "at": START + user, "prediction_id": f"p{user}", "user_hash": f"u{user}", "model": "credit",
        "version": {"control": "v1", "treatment": "v2"}[variant], "experiment": KEY, "variant": variant,
        "phase": 1, "revision": 3, "result": "served", "assigned_by": "hash", "cached": False, "status": 200,
    }  # fmt: skip
    return Exposure(f"e{user}", **columns)


def outcome(user: int) -> Any:
    columns: dict[str, Any] = {
        "at": START + user + 9,
        "prediction_id": f"p{user}",
        "name": "profit",
        "value": user % 7 + 0.25,
    }
    return Outcome(f"o{user}", **columns)


def recorder(redis: Redis, files: EventFiles) -> Recorder:
    return Recorder(redis, files, Mine(), every_s=0.005)


async def fill(here: Place) -> None:
    """An installation of two revisions, with events in files and in the streams."""
    redis = open_state(here.server.url)
    store = DocumentStore(redis)
    first = await store.change(None, DOCUMENT, who="ann", why="a start")
    await store.change(first, DOCUMENT.model_copy(update={"models": DOCUMENT.models}), who="ann", why="again")
    for user in range(0, 400, 40):
        await add(redis, [exposure(each) for each in range(user, user + 40)])
        await add(redis, [outcome(each) for each in range(user, user + 40)])
        if user < 200:
            await recorder(redis, here.files).record_all()
    await redis.hset("ekiben:forgetting", "r", "somebody")  # type: ignore[misc]
    here.salt.parent.mkdir(parents=True, exist_ok=True)
    here.salt.write_text("the salt")
    await redis.aclose()


async def report(here: Place, *, record: bool = True) -> dict[str, Any]:
    """What an installation says of its experiment once everything is recorded."""
    redis = open_state(here.server.url)
    if record:
        await recorder(redis, here.files).record_all()
    held = await DocumentStore(redis).load()
    assert held is not None
    await redis.aclose()
    made = msgspec.to_builtins(Analyses(here.files).report(KEY, held, START + 30 * 86_400))
    del made["lineage"]
    return dict(made)


def test_a_backup_restored_into_an_empty_installation_gives_the_same_report(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here, there = place(), place()
    asyncio.run(fill(here))
    back_up(screen(), tmp_path / "b", here.environ)
    restore(screen(), tmp_path / "b", environ=there.environ)
    before, after = asyncio.run(report(here)), asyncio.run(report(there))
    assert before["variants"][0]["users"] == 200
    assert after == before
    assert there.salt.read_text() == "the salt"
    assert stat.S_IMODE(there.salt.stat().st_mode) == 0o600


def test_the_history_is_there_and_says_that_it_was_restored(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here, there = place(), place()
    asyncio.run(fill(here))
    manifest = back_up(screen(), tmp_path / "b", here.environ)
    restore(screen(), tmp_path / "b", environ=there.environ)

    async def look() -> None:
        redis = open_state(there.server.url)
        held = await DocumentStore(redis).load()
        entries = await Audit(redis).entries()
        assert held is not None
        assert (held.revision, held.document) == (2, DOCUMENT)
        assert held.lineage != manifest.lineage
        assert [entry.why for entry in entries][1:] == ["again", "a start"]
        assert (entries[0].who, entries[0].lineage) == ("ekiben restore", held.lineage)
        assert await redis.hgetall("ekiben:forgetting") == {b"r": b"somebody"}  # type: ignore[misc]
        assert await redis.exists("ekiben:lease") == 0
        await redis.aclose()

    asyncio.run(look())


async def test_taken_while_events_come_and_are_recorded_and_merged_it_misses_none_and_doubles_none(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here, there = await asyncio.to_thread(place), await asyncio.to_thread(place)
    await fill(here)
    redis = open_state(here.server.url)
    acknowledged = [f"o{user}" for user in range(400)]

    over = asyncio.Event()

    async def come() -> None:
        for user in itertools.count(400):
            if over.is_set():
                return
            await add(redis, [exposure(user)])
            await add(redis, [outcome(user)])
            acknowledged.append(f"o{user}")

    async def keep() -> None:
        recording, merging = recorder(redis, here.files), Merging(here.files, Mine())
        for pass_ in itertools.count():
            await recording.record_all()
            # Every minute is over, and what was merged is removed with the next pass.
            await asyncio.to_thread(merging.merge_all, START + 10 * 365 * 86_400 + pass_ * 100)
            if over.is_set():
                return

    async with asyncio.TaskGroup() as running:
        running.create_task(come())
        running.create_task(keep())
        await until(lambda: len(acknowledged) > 450)
        before = set(acknowledged)
        await asyncio.to_thread(back_up, screen(), tmp_path / "b", here.environ)
        over.set()
    await redis.aclose()
    await asyncio.to_thread(restore, screen(), tmp_path / "b", environ=there.environ)
    await report(there)
    with DuckDBTables(there.files) as tables:
        found = [row["event_id"] for row in tables.rows(tables.of("outcome").select("event_id"))]
    assert before <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("first", [AUDIT_STREAM, BAD_BLOCKS_STREAM])
async def test_a_block_that_is_put_aside_while_the_state_is_read_is_in_the_copy(
    redis: RedisServer, tmp_path: Path, first: str
) -> None:
    client = redis.client()
    await client.xadd(first, {"first": "of all"})
    await client.xadd(EVENTS_STREAM, {"no block": "but kept"})
    found: list[Any] = []
    async for record in read_state(client):
        if not found:
            await Recorder(client, EventFiles(str(tmp_path)), Mine()).record_all()
            assert await client.xlen(EVENTS_STREAM) == 0
        found.append(record)
    assert b"but kept" in [part for _, _, content in found for part in content]
    await client.aclose()


def test_new_events_have_ids_above_those_of_files_though_this_servers_clock_is_behind(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here, there = place(), place()

    async def of_tomorrow() -> None:
        redis = open_state(here.server.url)
        await redis.xadd("ekiben:outcomes:2", {"x": "y"}, id="32503680000000-0")
        await redis.delete("ekiben:outcomes:2")
        await redis.xgroup_create("ekiben:outcomes:2", "g", mkstream=True)
        await redis.execute_command("XSETID", "ekiben:outcomes:2", "32503680000000-0")  # type: ignore[no-untyped-call]
        await add(redis, [outcome(1)])
        await recorder(redis, here.files).record_all()
        await redis.aclose()

    async def later() -> list[Any]:
        redis = open_state(there.server.url)
        await add(redis, [outcome(2)])
        await recorder(redis, there.files).record_all()
        await redis.aclose()
        with DuckDBTables(there.files) as tables:
            return sorted(row["event_id"] for row in tables.rows(tables.of("outcome").select("event_id")))

    asyncio.run(of_tomorrow())
    here.salt.parent.mkdir(parents=True, exist_ok=True)
    here.salt.write_text("the salt")
    back_up(screen(), tmp_path / "b", here.environ)
    restore(screen(), tmp_path / "b", environ=there.environ)
    assert asyncio.run(later()) == ["o1", "o2"]


async def test_a_controller_that_was_cut_off_meanwhile_shows_the_restored_history(redis: RedisServer) -> None:
    client = redis.client()
    store, audit = DocumentStore(client), Audit(client)
    await store.change(None, DOCUMENT, who="me", why="saved")
    saved = [record async for record in read_state(client)]
    await client.flushall()
    await asyncio.sleep(0.01)  # the id of what follows is later
    held = await store.change(None, DOCUMENT, who="me", why="fresh")
    assert [entry.why for entry in await audit.entries(experiment=KEY)] == ["fresh"]
    await client.flushall()
    await write_state(client, iter(saved), "another lineage", "restored")
    await store.change(await store.load(), act("pause", held.document, KEY), who="me", why="pause")
    assert [entry.why for entry in await audit.entries(experiment=KEY)] == ["pause", "restored", "saved"]
    await client.aclose()


def test_an_installation_that_holds_something_is_refused_unless_it_is_to_be_replaced(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here, there = place(), place()
    asyncio.run(fill(here))
    back_up(screen(), tmp_path / "b", here.environ)
    with pytest.raises(UsageError, match="the state Redis is not empty"):
        restore(screen(), tmp_path / "b", environ=here.environ)
    there.files.publish(there.files.stage([], SCHEMAS["outcome"]), here.files.list("outcome")[0], Mine())
    with pytest.raises(UsageError, match="there are event files in"):
        restore(screen(), tmp_path / "b", environ=there.environ)
    before = asyncio.run(report(here))
    restore(screen(), tmp_path / "b", replace=True, environ=here.environ)
    assert asyncio.run(report(here)) == before


def test_a_controller_at_work_is_not_disturbed(place: Callable[[], Place], tmp_path: Path) -> None:
    here, there = place(), place()
    asyncio.run(fill(here))
    back_up(screen(), tmp_path / "b", here.environ)

    async def lead() -> None:
        redis = open_state(there.server.url)
        assert await Lease(redis, "a controller", ttl_s=3600).renew()
        await redis.aclose()

    asyncio.run(lead())
    with pytest.raises(EkibenError, match="end the controllers first"):
        restore(screen(), tmp_path / "b", replace=True, environ=there.environ)


def test_a_salt_that_is_another_one_is_refused(place: Callable[[], Place], tmp_path: Path) -> None:
    here, there = place(), place()
    asyncio.run(fill(here))
    back_up(screen(), tmp_path / "b", here.environ)
    with pytest.raises(EkibenError, match="EKIBEN_USER_SALT is not the salt of the backup"):
        restore(screen(), tmp_path / "b", environ=there.environ | {"EKIBEN_USER_SALT": "another"})
    restore(screen(), tmp_path / "b", environ=there.environ | {"EKIBEN_USER_SALT": "the salt"})
    assert not there.salt.exists()


def spoil(folder: Path, what: str) -> None:
    if what == "a bit":
        path = next(folder.glob("events/kind=outcome/*/*.parquet"))
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    elif what == "a file":
        next(folder.glob("events/kind=outcome/*/*.parquet")).unlink()
    elif what == "the manifest":
        (folder / "manifest.json").unlink()
    else:
        manifest = json.loads((folder / "manifest.json").read_text())
        if what == "the format":
            manifest["format"] = 2
        else:
            manifest["files"]["../outside"] = manifest["files"]["state"]
        (folder / "manifest.json").write_text(json.dumps(manifest))


SPOILT = {
    "a bit": "is not as it was saved",
    "a file": "the backup is damaged",
    "the manifest": "holds no finished backup",
    "the format": "restore it with the release",
    "a path": "which is not in the backup",
}


def test_a_backup_that_is_not_whole_is_refused_before_anything_is_touched(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here = place()
    asyncio.run(fill(here))
    back_up(screen(), tmp_path / "b", here.environ)
    before = asyncio.run(report(here, record=False))
    for number, (what, told) in enumerate(SPOILT.items()):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "b", folder)
        spoil(folder, what)
        with pytest.raises(EkibenError, match=told):
            restore(screen(), folder, replace=True, environ=here.environ)
    assert asyncio.run(report(here, record=False)) == before


def test_a_backup_of_nothing_or_without_the_salt_of_its_events_is_none(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here = place()
    with pytest.raises(EkibenError, match="nothing to save"):
        back_up(screen(), tmp_path / "nothing", here.environ)
    asyncio.run(fill(here))
    here.salt.unlink()
    with pytest.raises(EkibenError, match="EKIBEN_USER_SALT"):
        back_up(screen(), tmp_path / "no-salt", here.environ)
    assert list(tmp_path.iterdir()) == []


def test_event_files_that_this_release_does_not_know_are_refused_before_anything_is_touched(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here = place()
    asyncio.run(fill(here))
    folder = tmp_path / "b"
    back_up(screen(), folder, here.environ)
    before = asyncio.run(report(here, record=False))
    manifest = json.loads((folder / "manifest.json").read_text())
    name = next(name for name in manifest["files"] if name.startswith("events/"))
    other = name.rpartition("/")[0] + "/of-tomorrow.parquet"
    (folder / name).rename(folder / other)
    manifest["files"][other] = manifest["files"].pop(name)
    manifest["files"] = dict(sorted(manifest["files"].items()))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EkibenError, match="not an event file of this release"):
        restore(screen(), folder, replace=True, environ=here.environ)
    assert asyncio.run(report(here, record=False)) == before
    # A later format may have fields that nobody knows here.
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 2, "new": 1}))
    with pytest.raises(EkibenError, match="restore it with the release"):
        restore(screen(), folder, replace=True, environ=here.environ)


def test_only_its_user_can_read_a_backup_and_a_folder_serves_once(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here = place()
    asyncio.run(fill(here))
    back_up(screen(), tmp_path / "b", here.environ)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "b").rglob("*"))
    assert set(read_manifest(tmp_path / "b").files) >= {"state", "user_salt"}
    with pytest.raises(UsageError, match="is not empty"):
        back_up(screen(), tmp_path / "b", here.environ)


def test_files_of_an_object_store_are_saved_and_come_back(
    place: Callable[[], Place], tmp_path: Path, s3: Mapping[str, str]
) -> None:
    here, there = place(), place()
    here.environ |= {**s3, "EKIBEN_EVENTS_URL": f"s3://events/{tmp_path.name}"}
    there.environ |= {**s3, "EKIBEN_EVENTS_URL": f"s3://events/{tmp_path.name}-there"}
    asyncio.run(fill(here))
    back_up(screen(), tmp_path / "b", here.environ)
    restore(screen(), tmp_path / "b", environ=there.environ)
    for kind in ("exposure", "outcome"):
        assert there.files.list(kind) == here.files.list(kind) != []


async def test_a_router_that_knows_later_revisions_follows_the_restored_document(
    place: Callable[[], Place], tmp_path: Path
) -> None:
    here = await asyncio.to_thread(place)
    (tmp_path / "experiments.yaml").write_text(yaml.safe_dump(credit()))
    router = RouterProcess(tmp_path, 1, EKIBEN_CACHE_URL=here.server.url, EKIBEN_STATE_URL=here.server.url)
    redis = open_state(here.server.url)
    try:
        await asyncio.to_thread(router.start)
        store = DocumentStore(redis)
        saved = await until_async(store.load)
        assert saved is not None
        await asyncio.to_thread(back_up, screen(), tmp_path / "b", here.environ)
        await store.change(saved, act("pause", saved.document, EXPERIMENT), who="ann", why="later")
        await asyncio.to_thread(restore, screen(), tmp_path / "b", replace=True, environ=here.environ)

        async def held() -> Any:
            now = await store.load()
            assert now is not None
            return now

        restored = await held()
        assert restored.document == saved.document

        async def followed() -> bool:
            beats = await redis.hvals("ekiben:workers")  # type: ignore[misc]
            return any(json.loads(beat)["lineage"] == restored.lineage for beat in beats)

        await until_async(followed)
        assert (await held()).lineage == restored.lineage
    finally:
        await redis.aclose()
        router.kill()


def test_the_commands_save_and_restore_an_embedded_installation_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(url: str) -> None:
        redis = open_state(url)
        await DocumentStore(redis).change(None, DOCUMENT, who="ann", why="a start")
        await redis.aclose()

    with EmbeddedRedis(tmp_path / "here") as embedded:
        asyncio.run(write(embedded.addresses.state_url))

    def ekiben(data_dir: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "EKIBEN_DATA_DIR": str(tmp_path / data_dir)}
        command = [sys.executable, "-m", "ekiben", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)

    wrong = ekiben("no-installation", "backup", str(tmp_path / "a"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "is not an installation: set EKIBEN_DATA_DIR" in wrong.stderr
    assert not (tmp_path / "no-installation").exists()

    monkeypatch.setenv("EKIBEN_STATE_URL", "nope")
    strange = ekiben("no-installation", "backup", str(tmp_path / "a"))
    assert (strange.returncode, strange.stdout) == (2, "")
    assert strange.stderr.startswith("ekiben: EKIBEN_STATE_URL (or REDIS_URL) must be the address of a Redis")
    monkeypatch.delenv("EKIBEN_STATE_URL")

    saved = ekiben("here", "backup", str(tmp_path / "b"))
    assert (saved.returncode, saved.stderr) == (0, "")
    assert "revision 1" in saved.stdout
    restored = ekiben("there", "restore", str(tmp_path / "b"))
    assert (restored.returncode, restored.stderr) == (0, "")
