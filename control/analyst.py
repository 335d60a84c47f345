"""The analyst: computes every experiment's report again and again, and leaves it in the state Redis.

Only the lease's holder does, so that every replica shows the same report. The next round begins after
`every_s`, or after as long as the last round took: analysis never takes more than half of the machine's time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from redis.exceptions import RedisError

from control.desk import REPORTS_KEY, SHADOW_REPORTS_KEY, Desk
from experiments.lifecycle import ACTIVE, Status
from experiments.report import Report, ShadowReport
from state.document import Stored
from state.lease import Lease, LeaseLost

log = logging.getLogger(__name__)

_RETRY_S: Final = 1.0
# A router gathers exposures for 50 ms; four times that is ample.
_BLOCK_S: Final = 0.2


class Analysis(Protocol):
    """What computes; called in a thread."""

    def report(self, experiment: str, stored: Stored, now: float) -> Report: ...

    def shadow_reports(self, stored: Stored, now: float) -> list[ShadowReport]: ...


class Analyst:
    """Keeps the reports of `desk` fresh while its process holds the lease."""

    def __init__(
        self,
        desk: Desk,
        lease: Lease,
        analysis: Analysis,
        every_s: float,
        lag_s: Callable[[], float | None],
    ) -> None:
        self._desk = desk
        self._lease = lease
        self._analysis = analysis
        self._every_s = every_s
        self._lag_s = lag_s
        self.seconds = 0.0
        """How long the last round took."""
        self.failed: Mapping[str, str] = {}
        """Experiments that could not be analysed, and why."""

    async def run(self) -> None:
        """Analyse while the lease is held, until cancelled."""
        while True:
            if not self._lease.held() or (stored := self._desk.stored) is None or self._lag_s() is None:
                await asyncio.sleep(_RETRY_S)
                continue
            begun = time.monotonic()
            try:
                await self.round(stored)
            except LeaseLost:
                log.info("another controller analyses now")
            except (RedisError, OSError) as error:
                log.warning("the reports could not be written: %s", error)
            self.seconds = time.monotonic() - begun
            await asyncio.sleep(max(self._every_s, self.seconds))

    async def round(self, stored: Stored) -> None:
        """Analyse every experiment that needs it, and the shadows. Raises `LeaseLost`, and redis's errors."""
        failed: dict[str, str] = {}
        for key in _wanted(stored, self._desk.reports):
            report = await self._computed(key, stored, failed)
            if report is not None:
                await self._lease.write(REPORTS_KEY, {key: msgspec.json.encode(report)})
        if any(model.shadow for model in stored.document.models.values()):
            shadows = await self._shadows(stored, failed)
            if shadows:
                fields = {
                    f"{each.model}/{each.version}/{each.against}": msgspec.json.encode(each)
                    for each in shadows
                }
                await self._lease.write(SHADOW_REPORTS_KEY, fields)
        self.failed = failed
        await self._desk.look()  # ramps wait for what the desk shows

    async def _computed(self, key: str, stored: Stored, failed: dict[str, str]) -> Report | None:
        # What happened since may not be on disk yet: whose window closes in between has not matured.
        lag_s = (self._lag_s() or 0.0) + _BLOCK_S
        at = self._desk.clock() - lag_s
        try:
            report = await asyncio.to_thread(self._analysis.report, key, stored, at)
        except Exception as error:  # one experiment's trouble is not another's
            self._tell(key, error, failed)
            return None
        return msgspec.structs.replace(report, lag_s=lag_s)

    async def _shadows(self, stored: Stored, failed: dict[str, str]) -> Sequence[ShadowReport]:
        try:
            return await asyncio.to_thread(self._analysis.shadow_reports, stored, self._desk.clock())
        except Exception as error:
            self._tell("shadows", error, failed)
            return ()

    def _tell(self, what: str, error: Exception, failed: dict[str, str]) -> None:
        failed[what] = f"{type(error).__name__}: {error}"
        if self.failed.get(what) != failed[what]:
            log.error("%s cannot be analysed", what, exc_info=error)


def _wanted(stored: Stored, reports: Mapping[str, Report]) -> list[str]:
    """Those that run or are paused; of the others those whose report is older than their end."""
    wanted = []
    for key, experiment in stored.document.experiments.items():
        if experiment.status is Status.DRAFT:
            continue
        held = reports.get(key)
        if experiment.status in ACTIVE or held is None or held.status != experiment.status:
            wanted.append(key)
    return wanted
