"""How an experiments file comes to be in force: the table of decision 89, each row a test, with a real Redis.

Time is the tests' own: nothing here waits.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ekiben.experiments.changes import edits
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.parsing import parse_document
from ekiben.state.beats import Beats
from ekiben.state.connecting import open_state
from ekiben.state.documents.applying import Applier, Waits
from ekiben.state.documents.audit import Audit
from ekiben.state.documents.document import DOCUMENT_KEY, DocumentStore, Stored
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT, credit
from tests.state.test_beats import beat

WAITS = Waits(settle_s=2, widen_s=10, empty_s=0)


class Host:
    """One process with a file of its own, on the Redis of all; its clock stands still unless it is moved."""

    def __init__(self, redis: RedisServer, file: Path, **options: Any) -> None:
        self.client = open_state(redis.url)
        self.store = DocumentStore(self.client)
        self.file = file
        self.leads = True
        self.now = 1_000.0
        options = {"waits": WAITS} | options
        self.applier = Applier(
            self.store, file, self._may, clock=lambda: self.now, wall=lambda: 1e9 + self.now, **options
        )
        self._writes = 0

    async def _may(self) -> bool:
        return self.leads

    def write(self, data: dict[str, Any] | str) -> None:
        """Save the file, now by this host's clock."""
        self.file.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
        self._writes += 1  # two writes within one tick are two all the same
        at = int((1e9 + self.now) * 1e9) + self._writes
        os.utime(self.file, ns=(at, at))

    async def after(self, seconds: float) -> str:
        """Look now, and again when so much time has passed; how the file stands then."""
        await self.applier.round()
        self.now += seconds
        await self.applier.round()
        return self.applier.standing.state

    async def save(self, **experiment: Any) -> str:
        """Save the file with these fields of the experiment, and wait for as long as anything waits."""
        self.write(credit(experiment=experiment))
        return await self.after(20)

    async def stored(self) -> Stored:
        held = await self.store.load()
        assert held is not None
        return held

    async def experiment(self) -> Any:
        return (await self.stored()).document.experiments[EXPERIMENT]

    async def act(self, verb: str) -> None:
        held = await self.stored()
        await self.store.change(held, act(verb, held.document, EXPERIMENT), who="somebody", why="test")

    async def widen(self, coverage: float) -> None:
        held = await self.stored()
        widened = edits.set_coverage(held.document, EXPERIMENT, coverage)
        await self.store.change(held, widened, who="ramp", why="test")


@pytest.fixture
async def host(redis: RedisServer, tmp_path: Path) -> AsyncIterator[Host]:
    """One whose file, with coverage 10, is in force."""
    host = Host(redis, tmp_path / "experiments.yaml")
    assert await host.save(coverage=10) == "in force"
    yield host
    await host.client.aclose()


@pytest.fixture
async def another(redis: RedisServer, tmp_path: Path, host: Host) -> AsyncIterator[Host]:
    """Another host, which does not lead, with the same file."""
    another = Host(redis, tmp_path / "another.yaml")
    another.leads = False
    another.write(host.file.read_text())
    await another.after(20)
    yield another
    await another.client.aclose()


async def test_redis_empty_it_is_filled_and_the_text_is_kept_beside_the_document(host: Host) -> None:
    stored = await host.stored()
    assert stored.revision == 1
    assert stored.as_record().applied_text == host.file.read_bytes()
    assert (await Audit(host.client).entries(1))[0].who.startswith(f"{host.file} on ")


async def test_redis_empty_whoever_knows_the_experiments_puts_them_back_first(
    redis: RedisServer, tmp_path: Path
) -> None:
    host = Host(redis, tmp_path / "experiments.yaml", waits=Waits(empty_s=1.5))
    host.write(credit())
    await host.after(3)
    assert await host.store.load() is None  # seen empty for the first time
    assert await host.after(3) == "in force"
    # … and each time that it is empty.
    await host.client.delete(DOCUMENT_KEY)
    await host.applier.round()
    assert await host.store.load() is None
    await host.client.aclose()


async def test_file_edited_what_is_new_is_applied(host: Host) -> None:
    assert await host.save(coverage=20) == "in force"
    assert (await host.experiment()).coverage == 20


async def test_file_edited_a_comment_leaves_a_paused_experiment_paused(host: Host) -> None:
    await host.act("pause")
    host.write("# a remark\n" + host.file.read_text())
    assert await host.after(20) == "in force"
    assert (await host.experiment()).status == "paused"
    stored = await host.stored()
    assert stored.revision == 2  # nothing has changed, and the text that says so is known
    assert stored.as_record().applied_text == host.file.read_bytes()


async def test_verb_used_and_ramp_acted_and_another_value_edited_all_of_it_stays(host: Host) -> None:
    await host.widen(50)
    assert await host.save(coverage=10, min_users=1000) == "in force"
    experiment = await host.experiment()
    assert (experiment.coverage, experiment.min_users) == (50, 1000)


async def test_both_changed_the_same_value_it_is_refused_with_both(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.widen(50)
    with caplog.at_level(logging.ERROR):
        assert await host.save(coverage=20) == "refused"
        await host.after(20)
    (line,) = host.applier.standing.lines
    assert "from 10 to 20" in line
    assert "become 50" in line
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 1
    assert (await host.experiment()).coverage == 50
    # What is in force, written into the file first, makes it true again.
    assert await host.save(coverage=50) == "in force"
    assert await host.save(coverage=60) == "in force"
    assert (await host.experiment()).coverage == 60


async def test_a_file_that_a_former_router_cannot_read_is_applied_once_that_router_has_ended(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    beats = Beats(host.client)
    await beats.write(beat("former"))
    host.write(credit(experiment={"coverage": 10}, capture={"per_second": 5}))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert await host.after(20) == "refused"
    (said,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "Replace them first" in said.getMessage()
    assert (await host.stored()).revision == 1
    await beats.leave("former")
    assert await host.after(1) == "in force"
    assert (await host.stored()).document.models["credit"].capture is not None


async def test_deleting_the_block_of_a_promoted_experiment_leaves_live_as_it_is(host: Host) -> None:
    await host.act("promote")
    host.write({"models": credit()["models"]})
    assert await host.after(20) == "in force"
    stored = await host.stored()
    assert (stored.document.experiments, stored.document.models["credit"].live) == ({}, "v2")


async def test_restarted_with_an_old_file_it_is_shown_and_not_applied(
    host: Host, another: Host, caplog: pytest.LogCaptureFixture
) -> None:
    await host.save(coverage=20)
    another.leads = True
    with caplog.at_level(logging.WARNING):
        assert await another.after(20) == "late"
    assert "older text" in caplog.text
    assert (await another.experiment()).coverage == 20


async def test_restarted_with_a_new_file_it_is_applied(host: Host, another: Host) -> None:
    await another.save(coverage=20)
    assert (await host.experiment()).coverage == 10
    another.leads = True
    assert await another.after(20) == "in force"
    assert (await host.experiment()).coverage == 20


async def test_failing_over_to_a_host_whose_file_followed_late_undoes_nothing(
    host: Host, another: Host
) -> None:
    await host.save(coverage=20)
    await host.save(coverage=30)
    await another.save(coverage=20)  # seen while it does not lead
    another.leads = True
    assert await another.after(20) == "late"
    assert (await another.experiment()).coverage == 30


async def test_git_revert_while_watching_is_an_edit(host: Host) -> None:
    await host.save(coverage=20)
    assert await host.save(coverage=10) == "in force"
    assert (await host.experiment()).coverage == 10


async def test_git_revert_after_a_late_text_was_shown_is_an_edit(host: Host, another: Host) -> None:
    first = host.file.read_text()
    await host.save(coverage=20)
    another.leads = True
    assert await another.after(20) == "late"
    assert await another.save(coverage=30) == "in force"
    another.write(first)
    assert await another.after(20) == "in force"
    assert (await another.experiment()).coverage == 10


async def test_controller_absent_nobody_applies(host: Host) -> None:
    host.leads = False
    assert await host.save(coverage=20) == "not watched"
    assert (await host.experiment()).coverage == 10


async def test_redis_restored_with_a_new_lineage_is_not_overwritten_by_the_file(host: Host) -> None:
    document = act("pause", (await host.stored()).document, EXPERIMENT)
    await host.client.delete(DOCUMENT_KEY)
    await host.store.change(None, document, who="restore", why="backup")
    assert await host.after(20) == "refused"
    assert "ekiben diff" in host.applier.standing.lines[0]
    assert (await host.experiment()).status == "paused"


async def upgraded(host: Host) -> Host:
    """What 30e8d9b has left in Redis, and a new controller on the same host."""
    await host.client.hdel(DOCUMENT_KEY, "text", "earlier", "past", "routing", "stamp")  # type: ignore[misc]
    fresh = Host.__new__(Host)
    fresh.__dict__ |= host.__dict__
    fresh.store = DocumentStore(host.client)
    fresh.applier = Applier(
        fresh.store, host.file, host._may, waits=WAITS, clock=lambda: host.now, wall=lambda: 1e9 + host.now
    )
    return fresh


async def test_a_document_of_an_older_release_goes_on_with_the_file_it_applied(host: Host) -> None:
    stored = await host.stored()
    fresh = await upgraded(host)
    assert await fresh.after(20) == "in force"
    fresh.write(credit(experiment={"coverage": 20}))
    await fresh.applier.round()
    host.now += 20
    await fresh.applier.round()
    assert ((await fresh.experiment()).coverage, (await fresh.stored()).lineage) == (20, stored.lineage)


async def test_the_text_that_an_older_release_applied_is_known_to_the_next_controller(host: Host) -> None:
    fresh = await upgraded(host)
    assert await fresh.after(20) == "in force"
    assert (await fresh.stored()).as_record().applied_text == host.file.read_bytes()


async def test_a_first_file_in_which_a_variant_gets_nobody_is_refused(
    redis: RedisServer, tmp_path: Path
) -> None:
    host = Host(redis, tmp_path / "experiments.yaml")
    variants = {"control": {"version": "v1", "weight": 100}, "treatment": {"version": "v2", "weight": 0}}
    host.write(credit(experiment={"variants": variants}))
    assert await host.after(20) == "refused"
    assert "weight" in "\n".join(host.applier.standing.lines)
    assert await host.store.load() is None
    await host.client.aclose()


async def test_a_text_that_an_older_release_applied_is_not_taken_for_the_last_one(host: Host) -> None:
    """30e8d9b applies another file and keeps no text: the one beside the document is not what was applied."""
    await host.client.hset(DOCUMENT_KEY, mapping={"applied": "0" * 64, "revision": "2"})  # type: ignore[misc]
    assert (await host.stored()).as_record().applied_text is None
    assert await host.save(coverage=20) == "refused"


async def test_half_written_nothing_is_done_until_it_has_been_left_alone(host: Host) -> None:
    text = host.file.read_text()
    for end in range(10, len(text), len(text) // 7):
        host.write(text[:end])
        assert await host.after(1.9) == "waits"
    host.write(text)
    assert await host.after(1) == "in force"
    assert (await host.stored()).revision == 1


async def test_what_widens_waits_longer_and_says_so(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.write(credit())  # the line `coverage: 10` is not there yet
    with caplog.at_level(logging.INFO):
        assert await host.after(9) == "waits"
    assert "coverage: rises from 10 to 100" in caplog.text
    assert (await host.experiment()).coverage == 10
    host.write(credit(experiment={"coverage": 5}))
    assert await host.after(2) == "in force"
    assert await host.save(coverage=100) == "in force"


async def test_refused_says_the_line_and_is_over_when_the_file_is_mended(host: Host) -> None:
    good = host.file.read_text()
    host.write(good.replace("coverage: 10", "coverage: 1000"))
    assert await host.after(20) == "refused"
    number = next(n for n, line in enumerate(good.splitlines(), 1) if "coverage" in line)
    standing = host.applier.standing
    assert standing.lines[0].endswith(f"at most 100, not 1000 (line {number})")
    began = standing.since
    await host.after(20)
    assert host.applier.standing.since == began
    host.write(good)
    assert await host.after(20) == "in force"


async def test_a_file_that_vanishes_or_cannot_be_read_changes_nothing(host: Host) -> None:
    host.file.unlink()
    assert await host.after(20) == "missing"
    host.file.mkdir()
    assert await host.after(20) == "refused"
    assert (await host.experiment()).coverage == 10


async def test_one_that_only_seeds_never_applies_anything_again(redis: RedisServer, tmp_path: Path) -> None:
    host = Host(redis, tmp_path / "experiments.yaml", seeds_only=True)
    await host.save(coverage=10)
    await host.save(coverage=5)
    assert (await host.experiment()).coverage == 10
    await host.client.delete(DOCUMENT_KEY)
    await host.save(coverage=5)
    assert await host.store.load() is None
    await host.client.aclose()


async def test_a_new_experiment_in_the_file_is_added_beside_what_was_promoted(host: Host) -> None:
    await host.act("promote")
    data = credit(experiment={"coverage": 10, "status": "promoted"})
    held = credit()["experiments"][EXPERIMENT] | {"status": "draft"}
    data["experiments"]["another"] = held
    host.write(data)
    assert await host.after(20) == "in force"
    document = (await host.stored()).document
    assert list(document.experiments) == [EXPERIMENT, "another"]
    assert document.models["credit"].live == "v2"
    assert parse_document(data)  # and the file is sound by itself
