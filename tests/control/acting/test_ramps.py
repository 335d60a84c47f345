"""Ramps over a real Redis: reports in, changes out, and what keeps a ramp from acting."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest

from ekiben.control.acting.ramps import Ramps, refusal
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Experiment
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.metric import State
from ekiben.process.tasks import end_tasks
from ekiben.state.beats import Beat
from ekiben.state.documents.audit import Audit, Entry
from ekiben.state.documents.document import Stored
from ekiben.state.lease import LEASE_KEY, Lease, LeaseLost
from tests.control.conftest import Scene, document
from tests.control.evidence import beat, effect, put_report, report
from tests.router.documents import EXPERIMENT
from tests.waiting import until, until_async

RAMP: dict[str, Any] = {"steps": [10, 50, 100], "every": "1h", "min_users_per_step": 500, "then": "promote"}
HOUR = 3600.0


class Ramping:
    """A scene with a ramp: time is what the test says it is."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.now = time.time()
        scene.desk.clock = lambda: self.now
        self.lease = Lease(scene.redis, "one", 600)
        self.ramps = Ramps(scene.desk, self.lease)

    async def begin(self, **experiment: Any) -> Stored:
        await self.lease.renew()
        await beat(self.scene.redis, self.now)
        return await self.scene.put(document(**{"ramp": RAMP, "coverage": 10, **experiment}))

    async def judge(self, stored: Stored | None = None, age_s: float = 0.0, **evidence: Any) -> Experiment:
        """A report arrives and is judged; the experiment as it stands then."""
        held = stored or await self.held()
        step = await Audit(self.scene.redis).step(EXPERIMENT)
        evidence = {"step": step} | evidence
        await put_report(self.scene.redis, report(held, EXPERIMENT, self.now - age_s, **evidence))
        await self.scene.desk.look()
        await self.ramps.round()
        return (await self.held()).document.experiments[EXPERIMENT]

    async def held(self) -> Stored:
        held = await self.scene.desk.store.load()
        assert held is not None
        return held

    async def state(self) -> tuple[str, int, str]:
        """What the desk shows of the ramp: kind, step, sentence."""
        await self.scene.desk.look()
        shown = self.scene.desk.ramps[EXPERIMENT]
        return shown.kind, shown.step, shown.sentence

    async def last(self) -> Entry:
        return (await Audit(self.scene.redis).entries(limit=1))[0]


@pytest.fixture
def ramping(scene: Scene) -> Ramping:
    return Ramping(scene)


async def test_a_ramp_rises_step_by_step_and_promotes_when_the_verdict_says_so(ramping: Ramping) -> None:
    await ramping.begin()
    assert (await ramping.judge()).coverage == 10
    kind, step, sentence = await ramping.state()
    assert (kind, step) == ("wait", 1)
    assert "lasts 1h, " in sentence
    ramping.now += HOUR + 60
    assert (await ramping.judge()).coverage == 50
    assert (await ramping.state())[:2] == ("raise", 2)
    entry = await ramping.last()
    assert (entry.who, entry.changes) == ("ramp", (f"experiments.{EXPERIMENT}.coverage: 10 → 50",))
    assert entry.why == (await ramping.state())[2]
    ramping.now = time.time()  # Redis's clock, by which the next step began
    assert (await ramping.judge(users=1500)).coverage == 50
    ramping.now += HOUR + 60
    assert (await ramping.judge(users=1500)).coverage == 100
    ramping.now = time.time() + HOUR + 60
    assert (await ramping.judge(users=2000)).status is Status.RUNNING
    ramping.now += 60
    assert (await ramping.judge(users=2000, better=True)).status is Status.PROMOTED
    assert (await ramping.held()).document.models["credit"].live == "v2"
    assert (await ramping.state())[0] == "promote"
    assert "profit per user" in (await ramping.last()).why


async def test_too_little_traffic_waits_and_says_so(ramping: Ramping) -> None:
    await ramping.begin()
    ramping.now += HOUR + 60
    assert (await ramping.judge(users=499)).coverage == 10
    kind, step, sentence = await ramping.state()
    assert (kind, step) == ("wait", 1)
    assert "has 499 of 500" in sentence


async def test_while_the_clock_is_off_nothing_rises_and_a_violation_still_rolls_back(
    ramping: Ramping,
) -> None:
    await ramping.begin()
    ramping.scene.desk.clock_off = lambda: "This controller's clock is 2 h ahead of the state Redis's."
    ramping.now += HOUR + 60
    assert (await ramping.judge()).coverage == 10
    kind, _, sentence = await ramping.state()
    assert kind == "wait"
    assert sentence.startswith("This controller's clock is 2 h ahead")
    ramping.now += 60
    assert (await ramping.judge(guardrail=State.VIOLATED)).status is Status.ROLLED_BACK


async def test_a_violation_rolls_back_and_says_which_guardrail_and_by_how_much(ramping: Ramping) -> None:
    await ramping.begin()
    ended = await ramping.judge(guardrail=State.VIOLATED)
    assert ended.status is Status.ROLLED_BACK
    entry = await ramping.last()
    assert entry.who == "ramp"
    assert "kept per user is 2.00 to 4.00 lower (estimate 3.00) with v2 than with v1" in entry.why
    assert await ramping.state() == ("roll_back", 1, entry.why)


async def test_a_report_of_another_revision_decides_nothing(ramping: Ramping) -> None:
    before = await ramping.begin()
    later = await ramping.scene.desk.store.change(
        before,
        act("acknowledge", before.document, EXPERIMENT, model_versions=["x"]),
        who="me",
        why="meanwhile",
    )
    assert (await ramping.judge(before, guardrail=State.VIOLATED)).status is Status.RUNNING
    assert (await ramping.judge(later, guardrail=State.VIOLATED)).status is Status.ROLLED_BACK


async def test_a_change_that_the_desk_does_not_know_yet_is_never_overwritten(ramping: Ramping) -> None:
    before = await ramping.begin()
    await put_report(ramping.scene.redis, report(before, EXPERIMENT, ramping.now, guardrail=State.VIOLATED))
    await ramping.scene.desk.look()
    paused = act("pause", before.document, EXPERIMENT)
    await ramping.scene.desk.store.change(before, paused, who="me", why="between look and act")
    await ramping.ramps.round()
    assert (await ramping.held()).document == paused
    assert "changed meanwhile" in (await ramping.state())[2]


async def test_a_report_is_judged_once(ramping: Ramping) -> None:
    stored = await ramping.begin()
    await ramping.judge(stored)
    await ramping.scene.redis.delete("ekiben:ramps")
    await ramping.ramps.round()
    assert await ramping.scene.redis.exists("ekiben:ramps") == 0


async def test_who_does_not_hold_the_lease_does_nothing(ramping: Ramping) -> None:
    await ramping.begin()
    await ramping.lease.release()
    assert (await ramping.judge(guardrail=State.VIOLATED)).status is Status.RUNNING
    assert ramping.scene.desk.ramps == {}


async def test_who_lost_the_lease_without_knowing_it_is_refused_by_redis(ramping: Ramping) -> None:
    await ramping.begin()
    await ramping.scene.redis.delete(LEASE_KEY)
    await Lease(ramping.scene.redis, "another", 600).renew()
    assert ramping.lease.held()  # by its own clock
    with pytest.raises(LeaseLost):
        await ramping.judge(guardrail=State.VIOLATED)
    assert (await ramping.held()).document.experiments[EXPERIMENT].status is Status.RUNNING


async def test_where_outcomes_are_open_to_others_nothing_happens_and_it_is_said(ramping: Ramping) -> None:
    await beat(ramping.scene.redis, ramping.now, outcomes_open=True, loopback=False)
    await ramping.lease.renew()
    await ramping.scene.put(document(ramp=RAMP, coverage=10))
    assert (await ramping.judge(guardrail=State.VIOLATED)).status is Status.RUNNING
    kind, step, sentence = await ramping.state()
    assert (kind, step) == ("wait", 1)
    assert "anyone can send outcomes to the router on router-1" in sentence
    one = await ramping.scene.get(f"/experiments/{EXPERIMENT}")
    assert one["ramp_refused"] == sentence
    assert one["ramp_state"]["sentence"] == sentence


@pytest.mark.parametrize(("is_open", "loopback", "refused"), [(1, 0, 1), (1, 1, 0), (0, 0, 0), (0, 1, 0)])
def test_ramps_are_refused_only_for_what_is_open_and_not_on_loopback(
    is_open: int, loopback: int, refused: int
) -> None:
    shown = Beat(
        worker="w",
        host="h",
        pid=1,
        at=0.0,
        started_at=0.0,
        lineage=None,
        revision=None,
        adopted_at=None,
        draining=False,
        loopback=bool(loopback),
        outcomes_open=bool(is_open),
    )
    assert (refusal([shown]) is not None) is bool(refused)


async def test_coverage_does_not_rise_on_old_evidence_but_a_violation_still_rolls_back(
    ramping: Ramping,
) -> None:
    await ramping.begin()
    ramping.now += 2 * HOUR
    assert (await ramping.judge(age_s=600)).coverage == 10
    assert "What is known is 10 min old, so no step." in (await ramping.state())[2]
    assert (await ramping.judge(age_s=599, guardrail=State.VIOLATED)).status is Status.ROLLED_BACK


async def test_without_a_router_in_sight_coverage_does_not_rise(ramping: Ramping) -> None:
    await ramping.lease.renew()
    await ramping.scene.put(document(ramp=RAMP, coverage=10))
    ramping.now += HOUR + 60
    assert (await ramping.judge()).coverage == 10
    assert "No router is seen" in (await ramping.state())[2]


async def test_a_promotion_that_the_rest_of_the_document_forbids_waits_and_says_why(
    ramping: Ramping,
) -> None:
    made = document(ramp=RAMP | {"steps": [100]}, overrides={}, namespace={"name": "n", "from": 0, "to": 50})
    rest = document(overrides={}, namespace={"name": "n", "from": 50, "to": 100})
    other = rest.experiments[EXPERIMENT]
    await ramping.lease.renew()
    await beat(ramping.scene.redis, ramping.now)
    await ramping.scene.put(made.model_copy(update={"experiments": {**made.experiments, "other": other}}))
    ramping.now += HOUR + 60
    assert (await ramping.judge(better=True)).status is Status.RUNNING
    assert "cannot be promoted beside other active experiments of credit" in (await ramping.state())[2]


async def test_a_controller_that_starts_again_goes_on_with_the_step_it_was_in(ramping: Ramping) -> None:
    await ramping.begin()
    await ramping.judge()
    began = ramping.scene.desk.ramps
    ramping.now += HOUR - 60
    ramping.ramps = Ramps(ramping.scene.desk, ramping.lease)
    assert (await ramping.judge()).coverage == 10
    ramping.now += 120
    ramping.ramps = Ramps(ramping.scene.desk, ramping.lease)
    assert (await ramping.judge()).coverage == 50
    assert began.keys() <= ramping.scene.desk.ramps.keys()


async def test_the_loop_acts_on_what_arrives(ramping: Ramping) -> None:
    stored = await ramping.begin()
    tasks = [asyncio.create_task(run()) for run in (ramping.scene.desk.run, ramping.ramps.run)]
    try:
        await put_report(
            ramping.scene.redis, report(stored, EXPERIMENT, ramping.now, guardrail=State.VIOLATED)
        )

        async def rolled_back() -> bool:
            return (await ramping.held()).document.experiments[EXPERIMENT].status is Status.ROLLED_BACK

        await until_async(rolled_back)
        await until(lambda: EXPERIMENT in ramping.scene.desk.ramps)
    finally:
        await end_tasks(*tasks)


THREE = {
    "control": {"version": "v1", "weight": 50},
    "treatment": {"version": "v2", "weight": 25},
    "other": {"version": "v3", "weight": 25},
}


async def test_the_one_treatment_that_does_harm_is_retired_and_the_others_go_on(ramping: Ramping) -> None:
    held = await ramping.begin(variants=THREE)
    made = report(held, EXPERIMENT, ramping.now, guardrail=State.VIOLATED)
    safe = [
        msgspec.structs.replace(
            each,
            variants=(*each.variants, msgspec.structs.replace(each.variants[0], variant="other")),
            effects=each.effects | {"other": effect(0.1, 0.2)},
            states=each.states | {"other": State.UNCLEAR if each.name == "profit" else State.HOLDS},
        )
        for each in made.metrics
    ]
    await put_report(ramping.scene.redis, msgspec.structs.replace(made, metrics=tuple(safe), compared=2))
    await ramping.scene.desk.look()
    await ramping.ramps.round()
    after = (await ramping.held()).document.experiments[EXPERIMENT]
    assert after.status is Status.RUNNING
    assert [name for name, each in after.variants.items() if each.retired] == ["treatment"]
    entry = await ramping.last()
    assert entry.why.startswith("v2 (treatment) is retired: kept per user is 2.00 to 4.00 lower")
    assert await ramping.state() == ("retire", 1, entry.why)
