"""Where the experiments come from: Redis, the copy on disk, the file; with a real Redis."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from ekiben.process.tasks import end_tasks
from ekiben.state.connecting import open_state
from ekiben.state.documents.applying import Applier, Waits
from ekiben.state.documents.document import AUDIT_STREAM, DOCUMENT_KEY, DocumentStore, Stored
from ekiben.state.documents.held import listen
from router.development import FileAlone
from router.snapshots import SnapshotSource
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit, credit_document
from tests.waiting import until


async def always() -> bool:
    return True


class Installation:
    """A Redis, an experiments file, and any number of workers that follow them, each driven by the test."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.redis = redis
        self.file = folder / "experiments.yaml"
        self.copy = folder / "data" / "snapshot.json"
        self._opened: list[DocumentStore] = []
        self._stamp = 0

    def write(self, data: dict[str, Any] | str) -> None:
        """Put a file there, in one step, as an editor does."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
        draft.replace(self.file)

    def worker(self, copy: Path | None = None, settle_s: float = 0) -> tuple[SnapshotSource, list[Stored]]:
        """A worker's source, and what it has handed over."""
        store = DocumentStore(open_state(self.redis.url))
        self._opened.append(store)
        adopted: list[Stored] = []
        waits = Waits(settle_s, widen_s=0)
        source = SnapshotSource(
            store,
            copy or self.copy,
            lambda stored, _snapshot=None: adopted.append(stored),
            applier=Applier(store, self.file, always, waits=waits),
            alone=FileAlone(self.file, waits),
        )
        return source, adopted

    async def started(self) -> tuple[SnapshotSource, list[Stored]]:
        """A worker's source that has begun with the file of `credit`."""
        self.write(credit())
        source, adopted = self.worker()
        await source.start()
        return source, adopted

    async def held(self) -> dict[bytes, bytes]:
        async with self.redis.client() as client:
            return dict(await client.hgetall(DOCUMENT_KEY))

    async def audit(self) -> list[dict[bytes, bytes]]:
        async with self.redis.client() as client:
            return [fields for _, fields in await client.xrange(AUDIT_STREAM)]

    async def close(self) -> None:
        for store in self._opened:
            await store.close()


@pytest.fixture
async def installation(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Installation]:
    installation = Installation(tmp_path, redis)
    yield installation
    await installation.close()


def coverage(percent: int) -> dict[str, Any]:
    return credit(experiment={"coverage": percent})


async def test_a_worker_starts_when_the_file_that_was_saved_just_now_has_been_left_alone(
    installation: Installation,
) -> None:
    installation.write(credit())
    source, adopted = installation.worker(settle_s=0.3)
    await source.start()
    assert [stored.revision for stored in adopted] == [1]


async def test_what_could_not_be_adopted_is_told_and_tried_again(installation: Installation) -> None:
    source, adopted = await installation.started()
    adopt = source.adopt

    def fails(*_: object) -> object:
        raise ValueError("no routes")

    source.adopt = fails  # type: ignore[assignment]
    installation.write(coverage(10))
    await source.sync()
    await source.sync()
    assert "ValueError" in (source.trouble or "")
    source.adopt = adopt
    await source.sync()
    assert [stored.revision for stored in adopted] == [1, 2]
    assert source.trouble is None


async def test_of_workers_that_start_at_once_on_an_empty_redis_each_has_experiments(
    installation: Installation,
) -> None:
    installation.write(credit())
    workers = [installation.worker(installation.copy.with_name(f"{n}.json")) for n in range(8)]
    await asyncio.gather(*(source.start() for source, _ in workers))
    assert [[stored.revision for stored in adopted] for _, adopted in workers] == [[1]] * 8


async def test_the_file_seeds_an_empty_redis_and_is_routed_by(installation: Installation) -> None:
    _, adopted = await installation.started()
    (stored,) = adopted
    assert (stored.revision, stored.document) == (1, credit_document())
    assert (await installation.held())[b"lineage"].decode() == stored.lineage != ""


async def test_a_second_worker_takes_what_the_first_has_seeded(installation: Installation) -> None:
    installation.write(credit())
    sources = [installation.worker() for _ in range(2)]
    for source, _ in sources:
        await source.start()
    assert sources[0][1] == sources[1][1]
    assert len(await installation.audit()) == 1


async def test_workers_that_race_apply_a_change_once(installation: Installation) -> None:
    installation.write(credit())
    workers = [installation.worker() for _ in range(5)]
    await asyncio.gather(*(source.start() for source, _ in workers))
    for _ in range(2):
        await asyncio.gather(*(source.sync() for source, _ in workers))
    assert {adopted[-1].revision for _, adopted in workers} == {1}
    installation.write(coverage(10))
    for _ in range(3):
        await asyncio.gather(*(source.sync() for source, _ in workers))
    assert [adopted[-1] for _, adopted in workers] == [workers[0][1][-1]] * 5
    assert workers[0][1][-1].revision == 2
    assert [entry[b"revision"] for entry in await installation.audit()] == [b"1", b"2"]


async def test_an_edit_of_the_file_is_audited_with_who_why_before_and_after(
    installation: Installation,
) -> None:
    source, adopted = await installation.started()
    installation.write(coverage(10))
    await source.sync()
    assert adopted[-1].document.experiments[EXPERIMENT].coverage == 10
    first, second = await installation.audit()
    assert first[b"before"] == b""
    assert first[b"after"] == second[b"before"]
    assert b'"coverage":10' in second[b"after"]
    assert second[b"who"] == f"{installation.file} on {socket.gethostname()}".encode()
    assert second[b"why"]
    assert float(second[b"at"]) > 1.7e9


async def test_an_invalid_edit_is_refused_and_logged_and_the_old_snapshot_stays(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    source, adopted = await installation.started()
    bad = credit(
        experiment={
            "variants": {"a": {"version": "v1", "weight": 50}, "b": {"version": "v9", "weight": 60}},
            "overrides": {},
        }
    )
    for broken in (bad, "models: [", "models: {}\nmodels: {}", "\x00", ""):
        caplog.clear()
        installation.write(broken)
        with caplog.at_level(logging.ERROR):
            await source.sync()
            await source.sync()
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert errors, broken
        assert len({record.getMessage() for record in errors}) == len(errors), "logged twice"
        assert all("\n" not in record.getMessage() for record in errors)
    assert len(adopted) == 1
    assert (await installation.held())[b"revision"] == b"1"


async def test_the_log_names_the_path_in_the_file(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    installation.write(credit(live="v7"))
    source, adopted = installation.worker()
    with caplog.at_level(logging.ERROR):
        await source.start()
    assert any("models.credit.live: " in record.getMessage() for record in caplog.records)
    assert adopted == []


async def test_a_change_of_weights_while_running_is_refused_with_what_to_do_instead(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    source, adopted = await installation.started()
    weights = {"control": {"version": "v1", "weight": 90}, "treatment": {"version": "v2", "weight": 10}}
    installation.write(credit(experiment={"variants": weights}))
    with caplog.at_level(logging.ERROR):
        await source.sync()
    assert any("coverage" in record.getMessage() for record in caplog.records)
    assert len(adopted) == 1
    # … and the same weights in a new phase are taken.
    installation.write(credit(experiment={"variants": weights, "phase": 2, "seed": "another"}))
    await source.sync()
    assert adopted[-1].document.experiments[EXPERIMENT].variants["treatment"].weight == 10


async def test_the_name_of_an_experiment_that_is_gone_is_refused_to_another(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    source, adopted = await installation.started()
    for made in (credit(experiment={"status": "rolled_back"}), {"models": credit()["models"]}):
        installation.write(made)
        await source.sync()
    assert adopted[-1].document.experiments == {}
    installation.write(credit())
    with caplog.at_level(logging.ERROR):
        await source.sync()
    assert any("another experiment of this name ran" in each.getMessage() for each in caplog.records)
    assert adopted[-1].document.experiments == {}


async def test_a_refused_file_is_looked_at_again_when_it_comes_back(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    source, adopted = await installation.started()
    weights = {"control": {"version": "v1", "weight": 90}, "treatment": {"version": "v2", "weight": 10}}
    refused = credit(experiment={"variants": weights})
    installation.write(refused)
    await source.sync()
    installation.write(credit())
    await source.sync()
    with caplog.at_level(logging.ERROR):
        caplog.clear()
        installation.write(refused)
        await source.sync()
    assert caplog.records, "it was skipped in silence"
    # Meanwhile the experiment ends, through the command line: the refused file is fine now.
    store = DocumentStore(open_state(installation.redis.url))
    held = await store.load()
    await store.change(held, credit_document(experiment={"status": "rolled_back"}), who="cli", why="ended")
    await store.close()
    await source.sync()
    ended = adopted[-1].document.experiments[EXPERIMENT]
    assert (ended.variants["treatment"].weight, ended.status) == (10, "rolled_back")


async def test_a_file_that_was_applied_is_not_applied_again_over_a_later_change(
    installation: Installation,
) -> None:
    source, adopted = await installation.started()
    store = DocumentStore(open_state(installation.redis.url))
    held = await store.load()
    await store.change(held, credit_document(experiment={"coverage": 30}), who="ramp", why="next step")
    await store.close()
    await source.sync()
    again, taken = installation.worker()
    await again.start()
    for document in (adopted[-1].document, taken[-1].document):
        assert document.experiments[EXPERIMENT].coverage == 30
    assert (await installation.held())[b"revision"] == b"2"


async def test_a_host_where_the_old_file_still_lies_does_not_undo_the_new_one(
    installation: Installation, tmp_path: Path
) -> None:
    installation.write(credit())
    here, adopted = installation.worker()
    elsewhere = installation.file
    installation.file = tmp_path / "there.yaml"
    installation.write(credit())
    there, taken = installation.worker(tmp_path / "there" / "snapshot.json")
    for source in (here, there):
        await source.start()
    installation.write(coverage(10))  # there first …
    for _ in range(2):
        for source in (here, there):
            await source.sync()
    assert (adopted[-1], len(await installation.audit())) == (taken[-1], 2)
    installation.file = elsewhere
    installation.write(coverage(10))  # … then here
    for _ in range(2):
        for source in (here, there):
            await source.sync()
    assert (adopted[-1], len(await installation.audit())) == (taken[-1], 2)
    assert adopted[-1].document.experiments[EXPERIMENT].coverage == 10
    installation.write(credit())  # and an edit that goes back is an edit
    for source in (here, there, here, there):
        await source.sync()
    assert (adopted[-1], len(await installation.audit())) == (taken[-1], 3)
    assert adopted[-1].document.experiments[EXPERIMENT].coverage == 100


async def test_a_file_that_vanishes_changes_nothing(installation: Installation) -> None:
    source, adopted = await installation.started()
    installation.file.unlink()
    await source.sync()
    assert len(adopted) == 1


async def test_without_redis_and_file_a_worker_waits_for_either(installation: Installation) -> None:
    source, adopted = installation.worker()
    await source.start()
    assert adopted == []
    installation.write(credit())
    await source.sync()
    assert adopted[0].revision == 1


async def test_while_redis_is_away_routing_goes_on_and_the_change_comes_later(
    installation: Installation,
) -> None:
    source, adopted = await installation.started()
    installation.redis.kill()
    installation.write(coverage(10))
    await source.sync()
    assert len(adopted) == 1
    assert "the state Redis is away" in str(source.trouble)
    await installation.redis.start()
    for _ in range(2):
        await source.sync()
    assert adopted[-1].document.experiments[EXPERIMENT].coverage == 10


async def test_a_redis_that_comes_back_empty_is_refilled_with_the_same_lineage_and_revision(
    installation: Installation,
) -> None:
    installation.write(credit())
    workers = [installation.worker() for _ in range(3)]
    for source, _ in workers:
        await source.start()
    installation.write(coverage(10))
    for source, _ in workers:
        await source.sync()
    before = await installation.held()
    assert before[b"revision"] == b"2"
    installation.redis.kill()
    await asyncio.gather(*(source.sync() for source, _ in workers))
    await installation.redis.start()
    for _ in range(3):
        await asyncio.gather(*(source.sync() for source, _ in workers))
    assert await installation.held() == before
    assert {adopted[-1].revision for _, adopted in workers} == {2}


async def test_a_redis_that_lost_its_last_revisions_is_refilled(installation: Installation) -> None:
    source, adopted = await installation.started()
    old = await installation.held()
    installation.write(coverage(10))
    await source.sync()
    async with installation.redis.client() as client:
        await client.hset(DOCUMENT_KEY, mapping=old)  # type: ignore[arg-type, misc]
    await source.sync()
    held = await installation.held()
    assert (held[b"revision"], held[b"lineage"]) == (b"2", old[b"lineage"])
    assert adopted[-1].revision == 2


async def test_a_worker_starts_from_its_copy_when_redis_is_away(installation: Installation) -> None:
    _, adopted = await installation.started()
    installation.redis.kill()
    installation.file.unlink()
    late, taken = installation.worker()
    await late.start()
    assert taken == adopted


async def test_the_copy_comes_before_the_file_when_redis_is_away(installation: Installation) -> None:
    _, adopted = await installation.started()
    installation.redis.kill()
    installation.write(coverage(10))
    late, taken = installation.worker()
    await late.start()
    assert taken == adopted


async def test_a_worker_that_starts_first_refills_an_empty_redis_from_its_copy(
    installation: Installation,
) -> None:
    _, adopted = await installation.started()
    installation.redis.kill()
    await installation.redis.start()
    late, taken = installation.worker()
    await late.start()
    assert taken == adopted
    assert (await installation.held())[b"lineage"].decode() == adopted[0].lineage


async def test_a_copy_that_is_broken_is_passed_over(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    installation.write(credit())
    installation.copy.parent.mkdir()
    for broken in (
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b'{"lineage": "x", "revision": 1, "applied": "", "document": {}}',
    ):
        installation.copy.write_bytes(broken)
        source, adopted = installation.worker()
        await source.start()
        assert adopted[0].revision == 1, broken


async def test_a_copy_that_cannot_be_written_stops_nobody(installation: Installation, tmp_path: Path) -> None:
    installation.write(credit())
    blocked = tmp_path / "a file"
    blocked.write_text("")
    source, adopted = installation.worker(copy=blocked / "snapshot.json")
    await source.start()
    assert adopted[0].revision == 1


async def test_without_redis_the_file_alone_is_routed_by_and_followed(installation: Installation) -> None:
    installation.redis.kill()
    source, adopted = await installation.started()
    assert (adopted[0].lineage, adopted[0].revision) == ("", 0)
    installation.write(coverage(10))
    await source.sync()
    assert adopted[-1].document.experiments[EXPERIMENT].coverage == 10
    assert not installation.copy.exists()  # nothing that Redis has never seen is kept
    await installation.redis.start()
    await source.sync()
    assert adopted[-1].revision == 1


async def test_rubbish_in_redis_is_as_if_it_were_away(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    source, adopted = await installation.started()
    async with installation.redis.client() as client:
        await client.hset(DOCUMENT_KEY, mapping={"document": "{}", "revision": "2"})  # type: ignore[misc]
        with caplog.at_level(logging.WARNING):
            await source.sync()
        assert len(adopted) == 1
        assert caplog.records
        await client.delete(DOCUMENT_KEY)
        await client.lpush(DOCUMENT_KEY, "x")  # type: ignore[misc]
        await source.sync()
    assert len(adopted) == 1


async def test_a_redis_that_refuses_the_password_is_told_and_no_file_stands_in_for_it(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    async with installation.redis.client() as client:
        await client.config_set("requirepass", "secret")
    installation.write(credit())
    source, adopted = installation.worker()
    with caplog.at_level(logging.WARNING):
        await source.start()
    assert "refuses the password" in caplog.text
    assert "refuses the password" in str(source.trouble)
    assert adopted == []


async def test_a_newer_schema_is_told_and_routing_goes_on_as_it_was(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    source, adopted = await installation.started()
    async with installation.redis.client() as client:
        await client.hset(DOCUMENT_KEY, mapping={"schema": "2", "revision": "2"})  # type: ignore[misc]
    with caplog.at_level(logging.WARNING):
        await source.sync()
    assert "written by a newer release" in caplog.text
    assert len(adopted) == 1
    # Neither does a new pod, whose disk is empty, route by the file.
    fresh, taken = installation.worker(installation.copy.parent / "another.json")
    await fresh.start()
    assert taken == []


async def test_an_experiment_that_needs_a_newer_release_is_not_run_and_is_told(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    source, adopted = await installation.started()
    data = credit(experiment={"requires": ["where"], "where": {"country": "de"}})
    async with installation.redis.client() as client:
        changed = {"document": orjson.dumps(data), "revision": "2"}
        await client.hset(DOCUMENT_KEY, mapping=changed)  # type: ignore[misc, arg-type]
    with caplog.at_level(logging.WARNING):
        await source.sync()
    assert adopted[-1].document.experiments == {}
    assert "where" in adopted[-1].kept.not_run[EXPERIMENT]
    assert f"{EXPERIMENT} is not run here" in caplog.text


async def test_listen_tells_of_a_change_at_once_and_again_after_redis_was_away(
    installation: Installation,
) -> None:
    installation.write(credit())
    source, _ = installation.worker()
    await source.start()
    redis = open_state(installation.redis.url)
    changed = asyncio.Event()
    listener = asyncio.create_task(listen(redis, changed))
    try:
        await until(changed.is_set)  # subscribed
        for percent in (10, 20):
            changed.clear()
            installation.write(coverage(percent))
            await source.sync()
            await until(changed.is_set)
            installation.redis.kill()
            await installation.redis.start()
            await source.sync()
            await until(changed.is_set)
    finally:
        await end_tasks(listener)
        await redis.aclose()
