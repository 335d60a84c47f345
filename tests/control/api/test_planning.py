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
    assert given["size"] == observed["size"]
    assert observed["size"]["users"] > observed["size"]["fixed_users"] > 40_000
    assert observed["duration"]["days"] > 40
    assert "on profit with a probability of 80 %" in observed["sentence"]
    for wrong in ("effect=", "effect=x", "effect=0", "effect=nan", "effect=5%25&power=101", "power=80"):
        assert (await scene.ask("GET", f"{path}?{wrong}")).status == 400
    absurd = await scene.ask("GET", f"{path}?effect=1e-200&mean=1&std=1")
    assert (absurd.status, "far too large or too small" in absurd.body["detail"]) == (400, True)
