"""Experiments that are gone: their history stays, and nothing takes their place by name."""

from __future__ import annotations

from ekiben.state.documents.document import dump_document
from tests.control.conftest import Scene, document
from tests.router.documents import EXPERIMENT


async def test_the_history_of_an_experiment_that_never_was_is_404_and_of_one_that_is_gone_stays(
    scene: Scene,
) -> None:
    await scene.put(document("rolled_back"))
    assert (await scene.ask("GET", "/experiments/credit-bosting/history")).status == 404
    await scene.put(document("rolled_back").model_copy(update={"experiments": {}}))
    entries = (await scene.get(f"/experiments/{EXPERIMENT}/history"))["entries"]
    assert len(entries) == 2


async def test_a_new_experiment_of_an_old_name_is_refused_before_its_users_of_then_can_decide(
    scene: Scene,
) -> None:
    await scene.put(document("rolled_back"))
    held = await scene.put(document("rolled_back").model_copy(update={"experiments": {}}))
    for dry_run in (True, False):
        body = {"document": dump_document(document("running")), "why": "again", "dry_run": dry_run}
        answer = await scene.ask("POST", "/apply", body)
        assert answer.status == 422
        (line,) = answer.body["errors"]
        assert line.startswith(f"experiments.{EXPERIMENT}.phase: another experiment of this name ran")
    assert await scene.desk.store.load() == held
    drafted = {"document": dump_document(document("draft")), "why": "again"}
    assert (await scene.ask("POST", "/apply", drafted)).status == 200
    assert (await scene.act("start")).status == 422
    later = {"document": dump_document(document("draft", phase=2, seed="two")), "why": "a phase of its own"}
    assert (await scene.ask("POST", "/apply", later)).status == 200
    assert (await scene.act("start")).status == 200
