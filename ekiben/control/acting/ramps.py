"""The ramps: judges each fresh report of an experiment that has one, and acts.

1. Only the lease's holder acts, and each change checks the lease in the script that makes it.
2. A change is made on the revision that its report was computed from, or not at all: whatever happened since
   is seen by the next report, a few seconds later.
3. Nothing is remembered but what Redis holds: the document has the coverage, the report when the step began
   (from the audit stream) and who joined since. A controller that restarts goes on where it was.
4. Where outcomes can be sent by anyone who is not on the router's machine, ramps do nothing: the evidence
   could be anybody's.
5. Coverage rises only on fresh evidence, while a router is seen and this controller's clock agrees with the
   state Redis's; rolling back, the safe direction, needs none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from redis.exceptions import RedisError

from ekiben.control.desk import RAMPS_KEY, Desk, RampState
from ekiben.experiments.changes.edits import set_coverage
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Document, Experiment
from ekiben.experiments.durations import format_duration
from ekiben.experiments.judging.ramp import RampAction, RampKind, next_action
from ekiben.experiments.lifecycle import ACTIVE
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.reports.report import Report
from ekiben.state.beats import Beat
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.document import Conflict, Stored
from ekiben.state.lease import Lease, LeaseLost

log = logging.getLogger(__name__)

WHO: Final = "ramp"
_LATE_S: Final = 60.0


def refusal(beats: Sequence[Beat]) -> str | None:
    """Why ramps must not run: a router takes outcomes from anyone, and not from its own machine only."""
    for beat in beats:
        if beat.outcomes_open and not beat.loopback:
            return (
                f"Ramps do not run: anyone can send outcomes to the router on {beat.host}. "
                "Set EKIBEN_API_KEYS there, or let it listen on loopback only: no proxy before it, no "
                "EKIBEN_ALLOWED_HOSTS, no EKIBEN_ALLOWED_ORIGINS."
            )
    return None


class Ramps:
    """Acts on the reports of `desk` while `lease` is held."""

    def __init__(self, desk: Desk, lease: Lease) -> None:
        self._desk = desk
        self._lease = lease
        self._late_s = _LATE_S + 3 * (desk.settings.analyse_every_s + desk.settings.record_every_s)
        self._judged: dict[str, tuple[str, int, float]] = {}
        self._refused: str | None = None

    async def run(self) -> None:
        """Judge and act whenever the desk has something new, until cancelled."""
        seen = -1
        while True:
            seen = await self._desk.wait_for_change(seen)
            try:
                await self.round()
            except LeaseLost:
                log.info("another controller acts now")
            except (StateUnavailable, RedisError, OSError) as error:
                log.warning("the ramps wait for the state Redis: %s", error)
            except Exception:
                log.exception("the ramps could not be judged")

    async def round(self) -> None:
        """Judge every fresh report once. Raises `LeaseLost`, `StateUnavailable` and redis's errors."""
        stored = self._desk.stored
        if stored is None or not self._lease.held():
            return
        refused = refusal(self._desk.beats)
        if refused != self._refused:
            self._refused = refused
            log.warning("%s", refused or "ramps run again")
        for key, experiment in stored.document.experiments.items():
            report = self._desk.reports.get(key)
            if experiment.ramp is None or experiment.status not in ACTIVE or report is None:
                continue
            fresh = (report.lineage, report.revision, report.at)
            if self._judged.get(key) == fresh or fresh[:2] != (stored.lineage, stored.revision):
                continue
            await self._judge(stored, key, experiment, report, refused)
            self._judged[key] = fresh

    async def _judge(
        self, stored: Stored, key: str, experiment: Experiment, report: Report, refused: str | None
    ) -> None:
        now = self._desk.clock()
        began = report.step.began if report.step is not None else now
        shadowed = stored.document.models[experiment.model].shadow
        shadows = [
            each
            for each in self._desk.shadow_reports
            if each.model == experiment.model and shadowed.get(each.version)
        ]
        action = next_action(experiment, report, now, shadows)
        if refused is not None:
            action = _waits(action, experiment, refused)
        elif action.kind in (RampKind.RAISE, RampKind.PROMOTE) and (
            why := self._desk.clock_off() or self._too_old(report, now)
        ):
            action = _waits(action, experiment, f"{why} It would be: {action.sentence}")
        if action.kind in _ACTS:
            action = await self._act(stored, key, experiment, action)
            if action.kind in _ACTS:
                began = now
        steps = experiment.ramp.steps if experiment.ramp is not None else ()
        step = sum(each <= action.coverage for each in steps)
        state = RampState(step=step, since=began, kind=str(action.kind), sentence=action.sentence, at=now)
        await self._lease.write(RAMPS_KEY, {key: msgspec.json.encode(state)})

    async def _act(self, stored: Stored, key: str, experiment: Experiment, action: RampAction) -> RampAction:
        """Make the change and return what was done; another's change in between, or one that the rest of the
        document forbids, makes it a wait.
        """
        try:
            document = _ACTS[action.kind](stored.document, key, action)
            await self._desk.store.change(stored, document, who=WHO, why=action.sentence, lease=self._lease)
        except DocumentError as error:
            log.error("the ramp of %s cannot %s: %s", key, action.kind, error)
            return _waits(action, experiment, f"{action.sentence} But that is refused: {error.problems[0]}.")
        except Conflict:
            sentence = "The experiments were changed meanwhile: the next report decides."
            return _waits(action, experiment, sentence)
        level = logging.WARNING if action.kind in (RampKind.ROLL_BACK, RampKind.RETIRE) else logging.INFO
        log.log(level, "ramp of %s, %s: %s", key, action.kind, action.sentence)
        return action

    def _too_old(self, report: Report, now: float) -> str | None:
        if not self._desk.beats:
            return "No router is seen, so no step."
        age_s = now - report.at + (report.lag_s or 0.0)
        if age_s > self._late_s:
            return f"What is known is {format_duration(age_s)} old, so no step."
        return None


_ACTS: Final[Mapping[RampKind, Callable[[Document, str, RampAction], Document]]] = {
    RampKind.RAISE: lambda document, key, action: set_coverage(document, key, action.coverage),
    RampKind.PROMOTE: lambda document, key, action: act("promote", document, key, variant=action.variant),
    RampKind.RETIRE: lambda document, key, action: act("retire", document, key, variant=action.variant),
    RampKind.ROLL_BACK: lambda document, key, _action: act("roll-back", document, key),
}


def _waits(action: RampAction, experiment: Experiment, sentence: str) -> RampAction:
    return msgspec.structs.replace(
        action, kind=RampKind.WAIT, coverage=experiment.coverage, sentence=sentence
    )
