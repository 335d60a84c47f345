"""`plan` over the admin API."""

from __future__ import annotations

from tests.control.conftest import Scene, document
from tests.router.documents import EXPERIMENT


async def test_a_plan_comes_from_what_was_observed_or_what_is_given(scene: Scene) -> None:
    stored = await scene.put(document())
    path = f"/experiments/{EXPERIMENT}/plan"
    needs = await scene.ask("GET", f"{path}?effect=5%25")
    assert (needs.status, "standard deviation" in needs.body["detail"]) == (400, True)
    given = await scene.get(f"{path}?effect=5%25&mean=10&std=20&users_per_day=1000")
    await scene.know(stored)
    observed = await scene.get(f"{path}?effect=0.5&users_per_day=1000")
    assert given["effect"] == observed["effect"] == 0.5
    assert given["parts"] == observed["parts"][:1]
    assert given["unknown"][0] == "kept"
    assert [part["name"] for part in observed["parts"]] == ["profit", "kept"]
    assert observed["size"]["users"] > observed["size"]["fixed_users"] > 40_000
    assert observed["duration"]["days"] > 40
    assert "on profit with a probability of 80 %" in observed["sentence"]
    few = await scene.ask("GET", f"{path}?days=2&users_per_day=100")
    assert (few.status, "too few to promote" in few.body["detail"]) == (400, True)
    days = await scene.get(f"{path}?days=100&users_per_day=1000")
    assert days["size"]["users"] <= 99_000
    both = "effect=5%25&days=3"
    for wrong in ("effect=", "effect=x", "effect=0", "effect=nan", "effect=5%25&power=101", "power=80", both):
        assert (await scene.ask("GET", f"{path}?{wrong}")).status == 400
    absurd = await scene.ask("GET", f"{path}?effect=1e-200&mean=1&std=1")
    assert (absurd.status, "far too large or too small" in absurd.body["detail"]) == (400, True)


async def test_a_plan_of_a_model_needs_no_experiment(scene: Scene) -> None:
    await scene.put(document())
    path = "/models/credit/plan?metric=profit"
    unknown = await scene.ask("GET", f"{path}&effect=5%25")
    assert unknown.status == 400
    assert "models.credit.capture.scores_per_second" in unknown.body["detail"]
    given = await scene.get(f"{path}&effect=5%25&mean=10&std=20")
    assert (given["experiment"], given["model"], given["metric"]) == (None, "credit", "profit")
    assert given["planned_users"] == given["size"]["users"]
    assert (await scene.ask("GET", "/models/nobody/plan?metric=profit&effect=1")).status == 404
    assert (await scene.ask("GET", "/models/credit/plan?metric=x:ratio&effect=1")).status == 400


async def test_the_planned_users_are_written_into_a_draft_and_into_nothing_that_runs(scene: Scene) -> None:
    await scene.put(document(status="draft"))
    assert (await scene.act("plan-for", planned_users=20_000)).status == 200
    stored = await scene.desk.store.load()
    assert stored is not None
    assert stored.document.experiments[EXPERIMENT].planned_users == 20_000
    assert (await scene.act("start")).status == 200
    refused = await scene.act("plan-for", planned_users=30_000)
    assert (refused.status, "is running, so you cannot use plan-for" in str(refused.body)) == (422, True)
