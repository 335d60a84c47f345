"""Notifications over a real Redis, to a receiver that listens on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from ekiben.control.acting.notifying import Notifier
from ekiben.experiments.changes.acts import act_of
from ekiben.experiments.changes.edits import set_coverage
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Document
from ekiben.process.tasks import end_tasks
from ekiben.state.documents.applying import FileStanding
from ekiben.state.documents.audit import Audit
from ekiben.state.lease import LEASE_KEY, Lease, LeaseLost
from tests.control.acting.receiver import Receiver
from tests.control.conftest import Scene, document
from tests.ports import free_port
from tests.router.documents import EXPERIMENT
from tests.waiting import until


class Telling:
    """A notifier over a scene, and what is done in it."""

    def __init__(self, scene: Scene, url: str) -> None:
        self.scene = scene
        self.url = url
        self.lease = Lease(scene.redis, "one", 600)

    async def begin(self, token: str = "") -> Notifier:
        await self.lease.renew()
        return Notifier(self.scene.desk, self.lease, self.url, token)

    async def change(self, made: Document, why: str = "a reason") -> None:
        held = await self.scene.desk.store.load()
        await self.scene.desk.store.change(held, made, who="ada", why=why)
        await self.scene.desk.look()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    yield made
    await asyncio.to_thread(made.close)


async def test_each_act_is_told_once_with_the_id_of_its_audit_entry(scene: Scene, receiver: Receiver) -> None:
    telling = Telling(scene, receiver.url)
    notifier = await telling.begin(token="the-receivers-token")
    running = document(coverage=10)
    await telling.change(running)
    assert await notifier.round()
    assert receiver.events == []  # what was before is not told
    risen = set_coverage(running, EXPERIMENT, 50)
    await telling.change(risen, "step 2")
    await telling.change(act("roll-back", risen, EXPERIMENT), "Stop: 8 days are over.")
    for _ in range(3):
        assert await notifier.round()
    told = [(each["type"], each["data"]["why"]) for each in receiver.events]
    assert told == [
        ("ekiben.experiment.coverage_changed", "step 2"),
        ("ekiben.experiment.rolled_back", "Stop: 8 days are over."),
    ]
    (last,) = await Audit(scene.redis).entries(limit=1)
    event, headers = receiver.events[-1], receiver.headers[-1]
    assert (event["specversion"], event["id"]) == ("1.0", last.id)
    assert event["source"] == f"/ekiben/experiments/{EXPERIMENT}"
    assert datetime.fromisoformat(event["time"]).timestamp() == pytest.approx(last.at, abs=1e-3)
    assert (event["data"]["who"], event["data"]["status"]) == ("ada", "rolled_back")
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert headers["Authorization"] == "Bearer the-receivers-token"


async def test_another_controller_goes_on_where_the_first_one_was(scene: Scene, receiver: Receiver) -> None:
    telling = Telling(scene, receiver.url)
    running = document()
    await telling.change(running)
    assert await (await telling.begin()).round()
    await telling.change(act("pause", running, EXPERIMENT))
    again = Notifier(scene.desk, telling.lease, receiver.url)
    assert await again.round()
    assert await Notifier(scene.desk, telling.lease, receiver.url).round()
    assert [each["type"] for each in receiver.events] == ["ekiben.experiment.paused"]


async def test_what_a_receiver_does_not_take_waits_and_comes_in_its_order(scene: Scene) -> None:
    receiver = Receiver(500, 429)
    telling = Telling(scene, receiver.url)
    notifier = await telling.begin()
    running = document()
    await telling.change(running)
    await notifier.round()
    paused = act("pause", running, EXPERIMENT)
    await telling.change(paused)
    await telling.change(act("resume", paused, EXPERIMENT))
    assert not await notifier.round()
    assert notifier.failing == "it answered 500"
    assert not await notifier.round()
    assert await notifier.round()
    assert notifier.failing is None
    told = [each["data"]["status"] for each in receiver.events]
    assert (told, receiver.refused) == (["paused", "running"], 2)
    receiver.close()


async def test_a_dead_receiver_is_asked_ever_more_rarely_and_hinders_nothing(scene: Scene) -> None:
    telling = Telling(scene, f"http://127.0.0.1:{free_port()}")
    notifier = await telling.begin()
    running = document()
    await telling.change(running)
    await notifier.round()
    waits: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 11:
            enough.set()
            await asyncio.Event().wait()

    await telling.change(act("pause", running, EXPERIMENT))
    task = asyncio.create_task(notifier.run(sleep))
    await enough.wait()
    await end_tasks(task)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert notifier.failing is not None
    held = await scene.desk.store.load()
    assert held is not None
    assert held.document.experiments[EXPERIMENT].status == "paused"


async def test_who_does_not_lead_tells_nothing(scene: Scene, receiver: Receiver) -> None:
    telling = Telling(scene, receiver.url)
    notifier = await telling.begin()
    running = document()
    await telling.change(running)
    await notifier.round()
    await telling.change(act("pause", running, EXPERIMENT))
    await scene.redis.set(LEASE_KEY, "99 another")
    with pytest.raises(LeaseLost):
        await notifier.round()  # it was told, and nobody remembers: the next leader tells it again
    assert await Notifier(scene.desk, Lease(scene.redis, "two"), receiver.url).round()
    assert len(receiver.events) == 1


async def test_a_refused_edit_of_the_file_is_told_once_until_a_file_is_in_force(
    scene: Scene, receiver: Receiver
) -> None:
    telling = Telling(scene, receiver.url)
    notifier = await telling.begin()
    await telling.change(document())
    await notifier.round()
    refused = FileStanding("experiments.yaml", "refused", 1_795_000_000.0, ("models: is missing",))
    scene.desk.file = lambda: refused
    for _ in range(2):
        assert await notifier.round()
    scene.desk.file = lambda: FileStanding("experiments.yaml", "in force", 1_795_000_100.0)
    assert await notifier.round()
    scene.desk.file = lambda: refused
    assert await notifier.round()
    assert [each["type"] for each in receiver.events] == ["ekiben.experiments_file.refused"] * 2
    assert receiver.events[0]["data"]["problems"] == ["models: is missing"]


async def test_the_part_runs_and_tells_by_itself(scene: Scene, receiver: Receiver) -> None:
    telling = Telling(scene, receiver.url)
    notifier = await telling.begin()
    running = document()
    await telling.change(running)
    task = asyncio.create_task(notifier.run())
    await asyncio.sleep(0)
    await notifier.round()
    await telling.change(act("pause", running, EXPERIMENT))
    await until(lambda: len(receiver.events) == 1)
    await end_tasks(task)


def test_an_act_is_what_changed_for_users() -> None:
    three = {
        "control": {"version": "v1", "weight": 50},
        "treatment": {"version": "v2", "weight": 25},
        "other": {"version": "v3", "weight": 25},
    }
    draft, running = (
        document(status=status, variants=three).experiments[EXPERIMENT] for status in ("draft", "running")
    )
    assert act_of(None, draft) is act_of(running, None) is act_of(running, running) is None
    assert act_of(draft, running) == act_of(None, running) == "running"
    wider = draft.model_copy(update={"coverage": 5.0})
    assert act_of(draft, wider) is None
    assert act_of(running, running.model_copy(update={"coverage": 5.0})) == "coverage_changed"
    retired = act("retire", document(variants=three), EXPERIMENT, variant="other").experiments[EXPERIMENT]
    assert act_of(running, retired) == "retired"
    assert act_of(retired, retired.model_copy(update={"alpha": 0.1})) is None
