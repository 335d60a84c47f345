"""The analyst: computes every experiment's report again and again, and leaves it in the state Redis.

Only the lease's holder does, so that every replica shows the same report. The next round begins after
`EKIBEN_ANALYSE_EVERY_S`, or after as long as the last round took: analysis never takes more than half of the
machine's time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec
from redis.exceptions import RedisError

from ekiben.control.analysis.analysing import Analyses
from ekiben.control.desk import REPORTS_KEY, SHADOW_REPORTS_KEY, Desk
from ekiben.experiments.document import Experiment
from ekiben.experiments.judging.verdict import judge
from ekiben.experiments.lifecycle import ACTIVE, Status
from ekiben.experiments.reports.outcomes import WAITING
from ekiben.experiments.reports.past import Past, RuleChange, Step
from ekiben.experiments.reports.report import Report
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.document import Stored
from ekiben.state.lease import Lease, LeaseLost

log = logging.getLogger(__name__)

_T = TypeVar("_T")

ENDED_EVERY_S: Final = 60.0
"""So often ended experiments are looked at for outcomes that came later: it reads all their exposures."""

_RETRY_S: Final = 1.0
# A router gathers exposures for 50 ms; four times that is ample.
_BLOCK_S: Final = 0.2


class Analyst:
    """Keeps the reports of `desk` fresh while its process holds the lease."""

    def __init__(self, desk: Desk, lease: Lease, analysis: Analyses) -> None:
        self._desk = desk
        self._lease = lease
        self._analysis = analysis
        self._audit = desk.audit
        self._steps: dict[str, tuple[tuple[str, int], Step]] = {}
        self._changes: dict[str, tuple[Experiment, tuple[RuleChange, ...]]] = {}
        self._looked_for_newer_at = 0.0
        self._late: list[str] = []  # ended experiments with newer outcomes, the oldest report first
        self._looked: dict[str, float] = {}  # until when an ended experiment is known to have no newer ones
        self.seconds = 0.0
        """How long the last round took."""
        self.failed: Mapping[str, str] = {}
        """Experiments that could not be analysed, and why."""

    async def run(self) -> None:
        """Analyse while the lease is held, until cancelled."""
        while True:
            stored = self._desk.stored
            if not self._lease.held():
                await asyncio.to_thread(self._analysis.let_go)
            if stored is None or not self._lease.held() or self._desk.recorder_lag_s() is None:
                await asyncio.sleep(_RETRY_S)
                continue
            begun = time.monotonic()
            try:
                await self.round(stored)
            except LeaseLost:
                log.info("another controller analyses now")
            except (StateUnavailable, RedisError, OSError) as error:
                log.warning("the reports could not be written: %s", error)
            self.seconds = time.monotonic() - begun
            await asyncio.sleep(max(self._desk.settings.analyse_every_s, self.seconds))

    async def round(self, stored: Stored) -> None:
        """Analyse every experiment that needs it, and the shadows.

        Raises `LeaseLost`, `StateUnavailable` and redis's errors.
        """
        failed: dict[str, str] = {}
        wanted = await self._wanted(stored, failed)
        await asyncio.to_thread(self._analysis.let_go, wanted)
        for key in wanted:
            report = await self._computed(key, stored, failed)
            if report is not None:
                report = await self._with_ending(report, stored)
                await self._lease.write(REPORTS_KEY, {key: msgspec.json.encode(report)})
        if any(model.shadow for model in stored.document.models.values()):
            at = self._desk.clock()
            found = await self._tried("shadows", failed, lambda: self._analysis.shadow_reports(stored, at))
            fields = {
                f"{each.model}/{each.version}/{each.against}": msgspec.json.encode(each)
                for each in found or ()
            }
            if fields:
                await self._lease.write(SHADOW_REPORTS_KEY, fields)
        self.failed = failed
        await self._desk.look()  # ramps wait for what the desk shows

    async def _wanted(self, stored: Stored, failed: dict[str, str]) -> list[str]:
        """Those that run or are paused. Of the ended ones those whose report is not final, and one in each
        round of those with later outcomes, looked for every `ENDED_EVERY_S`: what runs does not wait for what
        has ended.
        """
        experiments, reports = stored.document.experiments, self._desk.reports
        ended = [key for key, each in experiments.items() if each.status not in (Status.DRAFT, *ACTIVE)]
        final = {key: reports[key] for key in ended if _is_final(reports.get(key), experiments[key].status)}
        wanted = [key for key, each in experiments.items() if each.status in ACTIVE]
        wanted += [key for key in ended if key not in final]
        now = self._desk.clock()
        if final and now - self._looked_for_newer_at >= ENDED_EVERY_S:
            lag_s = self._known_after_s()
            known = {key: max(report.at, self._looked.get(key, 0.0)) for key, report in final.items()}
            newer = await self._tried(
                "outcomes of ended experiments",
                failed,
                lambda: self._analysis.newest_outcomes(list(known), min(known.values())),
            )
            if newer is None:
                return wanted
            self._looked_for_newer_at = now
            late = [key for key, at in newer.items() if at > known[key]]
            self._late = sorted(late, key=lambda key: final[key].at)
            self._looked = dict.fromkeys(known.keys() - set(late), now - lag_s)
        while self._late:
            key = self._late.pop(0)
            if key in final:
                return [*wanted, key]
        return wanted

    async def _computed(self, key: str, stored: Stored, failed: dict[str, str]) -> Report | None:
        lag_s = self._known_after_s()
        at = self._desk.clock() - lag_s
        before = self._desk.reports.get(key)
        past = Past(
            step=await self._step(key, stored),
            coverages=before.coverages if before is not None else (),
            rule_changes=await self._rule_changes(key, stored),
        )
        report = await self._tried(key, failed, lambda: self._analysis.report(key, stored, at, past))
        return None if report is None else msgspec.structs.replace(report, lag_s=lag_s)

    async def _step(self, key: str, stored: Stored) -> Step | None:
        """The step that the experiment's ramp is in; one that the history does not know begins now."""
        if stored.document.experiments[key].ramp is None:
            return None
        held = self._steps.get(key)
        if held is None or held[0] != (stored.lineage, stored.revision):
            now = self._desk.clock()
            step = await self._audit.step(key) or Step(began=now, widened=now)
            held = self._steps[key] = ((stored.lineage, stored.revision), step)
        return held[1]

    async def _rule_changes(self, key: str, stored: Stored) -> tuple[RuleChange, ...]:
        experiment = stored.document.experiments[key]
        held = self._changes.get(key)
        if held is None or held[0] != experiment:
            held = self._changes[key] = (experiment, await self._audit.rule_changes(key))
        return held[1]

    def _known_after_s(self) -> float:
        # What happened since may not be on disk yet: whose window closes in between has not matured.
        return (self._desk.recorder_lag_s() or 0.0) + _BLOCK_S

    async def _with_ending(self, report: Report, stored: Stored) -> Report:
        """The report of an ended experiment says what was done, as the history has it."""
        experiment = stored.document.experiments[report.experiment]
        if experiment.status in (Status.DRAFT, *ACTIVE):
            return report
        ending = await self._audit.ending(report.experiment)
        ended = msgspec.structs.replace(report, ending=ending)
        return msgspec.structs.replace(ended, verdict=judge(ended))

    async def _tried(self, what: str, failed: dict[str, str], compute: Callable[[], _T]) -> _T | None:
        """What `compute` returns in a thread, None where it fails: one's trouble is not another's."""
        try:
            return await asyncio.to_thread(compute)
        except Exception as error:
            failed[what] = f"{type(error).__name__}: {error}"
            if self.failed.get(what) != failed[what]:
                log.error("%s cannot be analysed", what, exc_info=error)
            return None


def _is_final(report: Report | None, status: Status) -> bool:
    """Whether the report of an ended experiment was made after its end, and nobody's window was open then."""
    return (
        report is not None
        and report.status == status
        and not any(each.code == WAITING for each in report.left_out)
    )
