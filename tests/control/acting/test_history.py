"""What the history tells of experiments that are gone, and of those that never were."""

from __future__ import annotations

from tests.control.acting.conftest import Scene, document
from tests.router.documents import EXPERIMENT


async def test_the_history_of_an_experiment_that_never_was_is_404_and_of_one_that_is_gone_stays(
    scene: Scene,
) -> None:
    await scene.put(document("rolled_back"))
    assert (await scene.ask("GET", "/experiments/credit-bosting/history")).status == 404
    await scene.put(document("rolled_back").model_copy(update={"experiments": {}}))
    entries = (await scene.get(f"/experiments/{EXPERIMENT}/history"))["entries"]
    assert len(entries) == 2
