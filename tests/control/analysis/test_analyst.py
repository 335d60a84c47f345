"""The analyst: whose reports are computed, and what others' trouble does to them."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import pytest

from ekiben.control.analysis import analysing
from ekiben.control.analysis.analysing import NOTHING_PAST
from ekiben.control.analysis.analyst import ENDED_EVERY_S, Analyst
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.reports.outcomes import WAITING, LeftOut
from ekiben.experiments.reports.past import Past
from ekiben.experiments.reports.report import Decision, Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.state.documents.document import Stored, dump_document
from ekiben.state.lease import Lease, LeaseLost
from tests.control import evidence
from tests.control.conftest import Scene, document
from tests.router.documents import EXPERIMENT


class Analyses(analysing.Analyses):
    """Notes what it is asked for; `broken` experiments cannot be computed."""

    def __init__(self, *broken: str) -> None:
        self.asked: list[tuple[str, float]] = []
        self._broken = broken
        self.kept: set[str] = set()
        self.newest: dict[str, float] = {}
        self.waiting = False

    def report(self, experiment: str, stored: Stored, now: float, past: Past = NOTHING_PAST) -> Report:
        self.asked.append((experiment, now))
        if experiment in self._broken:
            raise ArithmeticError("no number")
        report = evidence.report(stored, experiment, now)
        waits = LeftOut("the user's window is not over", "users", 3, WAITING)
        return msgspec.structs.replace(report, left_out=(waits,)) if self.waiting else report

    def newest_outcomes(self, experiments: Collection[str], since: float) -> dict[str, float]:
        assert since <= min(self.newest.values(), default=since)
        return {key: at for key, at in self.newest.items() if key in experiments}

    def let_go(self, but: Collection[str] = ()) -> None:
        self.kept = set(but)

    def shadow_reports(self, stored: Stored, now: float) -> list[ShadowReport]:
        return []


async def analyst(scene: Scene, analysis: Analyses, lag_s: float = 4.0) -> tuple[Analyst, Lease]:
    lease = Lease(scene.redis, "test")
    assert await lease.renew()
    scene.desk.recorder_lag_s = lambda: lag_s
    return Analyst(scene.desk, lease, analysis), lease


def two_experiments() -> Document:
    data = dump_document(document())
    experiments = data["experiments"]
    assert isinstance(experiments, dict)
    return parse_document({**data, "experiments": {**experiments, "other": {
        **experiments[EXPERIMENT], "status": "draft"}}})  # fmt: skip


async def test_what_reports_are_made_of_is_kept_of_experiments_that_need_one(scene: Scene) -> None:
    stored = await scene.put(two_experiments())
    analysis = Analyses()
    one, _ = await analyst(scene, analysis)
    analysis.kept = {"ended long ago"}
    await one.round(stored)
    assert analysis.kept == {EXPERIMENT}


async def test_a_report_is_of_a_moment_before_which_everything_is_on_disk(scene: Scene) -> None:
    stored = await scene.put(document())
    analysis = Analyses()
    one, _ = await analyst(scene, analysis)
    before = scene.desk.clock()
    await one.round(stored)
    ((_, now),) = analysis.asked
    assert now <= before - 4.0 + 1.0
    lag_s = scene.desk.reports[EXPERIMENT].lag_s
    assert lag_s is not None
    assert lag_s >= 4.0


async def test_drafts_are_not_analysed_and_what_has_ended_once(scene: Scene) -> None:
    stored = await scene.put(two_experiments())
    analysis = Analyses()
    one, _ = await analyst(scene, analysis)
    await one.round(stored)
    assert [key for key, _ in analysis.asked] == [EXPERIMENT]
    assert (await scene.act("roll-back")).status == 200
    await scene.desk.look()
    assert scene.desk.stored is not None
    for _ in range(3):
        await one.round(scene.desk.stored)
    assert [key for key, _ in analysis.asked] == [EXPERIMENT] * 2


async def test_what_has_ended_is_analysed_until_its_windows_are_over_and_again_when_outcomes_come(
    scene: Scene,
) -> None:
    stored = await scene.put(document())
    analysis = Analyses()
    one, _ = await analyst(scene, analysis)
    await one.round(stored)
    assert (await scene.act("roll-back")).status == 200
    await scene.desk.look()
    stored = scene.desk.stored
    assert stored is not None
    analysis.waiting = True
    await one.round(stored)
    analysis.waiting = False
    await one.round(stored)
    await one.round(stored)
    assert len(analysis.asked) == 3
    analysis.newest = {EXPERIMENT: scene.desk.clock() + 3600}
    now = scene.desk.clock()
    scene.desk.clock = lambda: now + ENDED_EVERY_S + 1
    await one.round(stored)
    assert len(analysis.asked) == 4


async def test_ended_experiments_with_later_outcomes_are_analysed_one_in_each_round(scene: Scene) -> None:
    data = dump_document(document("rolled_back"))
    (experiment,) = data["experiments"].values()
    data["experiments"] = {f"{EXPERIMENT}-{number}": {**experiment} for number in range(3)}
    stored = await scene.put(parse_document(data))
    analysis = Analyses()
    one, _ = await analyst(scene, analysis)
    await one.round(stored)
    assert len(analysis.asked) == 3
    analysis.newest = dict.fromkeys(stored.document.experiments, scene.desk.clock() + 3600)
    now = scene.desk.clock()
    scene.desk.clock = lambda: now + ENDED_EVERY_S + 1
    for rounds in range(1, 4):
        await one.round(stored)
        assert len(analysis.asked) == 3 + rounds
    await one.round(stored)
    assert len(analysis.asked) == 6


async def test_the_verdict_of_an_ended_experiment_says_what_was_done_when_and_by_whom(scene: Scene) -> None:
    stored = await scene.put(document())
    one, _ = await analyst(scene, Analyses())
    await one.round(stored)
    assert (await scene.act("promote")).status == 200
    await scene.desk.look()
    stored = scene.desk.stored
    assert stored is not None
    await one.round(stored)
    verdict, ending = scene.desk.reports[EXPERIMENT].verdict, scene.desk.reports[EXPERIMENT].ending
    assert ending is not None
    assert (verdict.decision, ending.version) == (Decision.PROMOTED, "v2")
    assert verdict.sentence.startswith("v2 was promoted on 20")
    assert "Promote" not in verdict.sentence


async def test_one_that_cannot_be_analysed_is_told_and_keeps_its_last_report(scene: Scene) -> None:
    stored = await scene.put(document())
    one, _ = await analyst(scene, Analyses())
    await one.round(stored)
    await scene.redis.delete("ekiben:lease")
    broken, _ = await analyst(scene, Analyses(EXPERIMENT))
    await broken.round(stored)
    assert broken.failed == {EXPERIMENT: "ArithmeticError: no number"}
    assert EXPERIMENT in scene.desk.reports


async def test_whoever_lost_the_lease_leaves_no_report(scene: Scene) -> None:
    stored = await scene.put(document())
    one, lease = await analyst(scene, Analyses())
    await scene.redis.delete("ekiben:lease")
    with pytest.raises(LeaseLost):
        await one.round(stored)
    assert lease.holder == "test"
    assert scene.desk.reports == {}


async def test_an_experiment_that_is_removed_or_begins_a_new_phase_has_no_report(scene: Scene) -> None:
    stored = await scene.put(document())
    one, _ = await analyst(scene, Analyses())
    await one.round(stored)
    assert EXPERIMENT in scene.desk.reports
    await scene.put(document(phase=2, seed="another"))
    assert scene.desk.reports == {}
    data = dump_document(document())
    await scene.put(parse_document({**data, "experiments": {}}))
    assert scene.desk.reports == {}
