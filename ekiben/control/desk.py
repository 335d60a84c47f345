"""The desk: what every part of a controller looks at, kept up to date from the state Redis."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.control.settings import Settings
from ekiben.control.traffic import Traffic, TrafficWindow
from ekiben.experiments.document import Document
from ekiben.experiments.reports.report import Report
from ekiben.experiments.reports.shadow import ShadowReport
from ekiben.process.tasks import end_tasks
from ekiben.state.beats import Beat, Beats
from ekiben.state.connecting import StateUnavailable, Unreadable
from ekiben.state.documents.applying import FileStanding
from ekiben.state.documents.audit import Audit
from ekiben.state.documents.document import Conflict, DocumentStore, Stored, read_record
from ekiben.state.documents.held import HeldDocument, follow, listen
from ekiben.state.durability import Durability
from ekiben.state.trouble import Trouble

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_Hash = Mapping[bytes, bytes]

REPORTS_KEY: Final = "ekiben:reports"
SHADOW_REPORTS_KEY: Final = "ekiben:shadow-reports"
RAMPS_KEY: Final = "ekiben:ramps"
_AS_IT_WAS: Final = "what is known stays as it was"
_BEATS_EVERY_S: Final = 2.0


class RampState(msgspec.Struct, frozen=True):
    """Where an experiment's ramp stands, and what it did or waits for, in a sentence."""

    step: int  # places in `ramp.steps` that have been reached, 0 before the first
    since: float  # seconds since 1970: when this step began
    kind: str
    sentence: str
    at: float


class Desk:
    """What is known now. Only `run` changes it; what stands here is replaced, never changed in place.

    `changes` rises with everything that a page could show. What other parts of this controller know is asked
    of them, once `ekiben.control.app` has wired them: whether it is `leading`, which parts are `failing` and
    why, how the experiments `file` stands, how late the recorder is, and whether the clock is off.
    """

    def __init__(self, settings: Settings, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.redis = redis
        self.store = DocumentStore(redis)
        self.audit = Audit(redis)
        self.note = settings.note
        self.clock = clock
        self.stored: Stored | None = None
        self.reports: Mapping[str, Report] = {}
        self.shadow_reports: tuple[ShadowReport, ...] = ()
        self.ramps: Mapping[str, RampState] = {}
        self.beats: tuple[Beat, ...] = ()
        self.traffic = Traffic()
        self.state_away = False
        self.durability = Durability(redis, settings.state_durable)
        self.leading: Callable[[], bool] = lambda: False
        self.recorder_lag_s: Callable[[], float | None] = lambda: None
        self.clock_off: Callable[[], str | None] = lambda: None
        self.failing: Callable[[], Mapping[str, str]] = dict
        self.file: Callable[[], FileStanding | None] = lambda: None
        self.changes = 0
        self._held = HeldDocument(self.store, settings.data_dir / "controller.json")
        self._trouble = Trouble()
        self._beats = Beats(redis)
        self._window = TrafficWindow()
        self._beats_at = 0.0
        self._read_with: Stored | None = None
        self._raw: list[_Hash] = []
        self._looked = asyncio.Condition()

    async def run(self) -> None:
        """Follow Redis until cancelled: at once when the experiments change, else every 500 ms."""
        changed = asyncio.Event()
        listener = asyncio.create_task(listen(self.redis, changed))
        durability = asyncio.create_task(self.durability.run())
        try:
            await follow(self.look, changed)
        finally:
            await end_tasks(listener, durability)

    async def look(self) -> None:
        """One round. Without Redis everything stays as it was, and `state_away` says so."""
        before = self.changes
        try:
            await self._look()
            away = False
            self._trouble.over()
        except Conflict:
            return  # another process put the experiments back: the next round sees them
        except (StateUnavailable, RedisError, OSError) as error:
            unreadable = isinstance(error, Unreadable)
            self._trouble.tell(str(error) if unreadable else f"the state Redis is away: {error}", _AS_IT_WAS)
            if self.stored is None and (copy := await asyncio.to_thread(self._held.read_copy)) is not None:
                self.stored = await asyncio.to_thread(read_record, copy)
            away = True
        except Exception:
            log.exception("the desk could not be brought up to date")
            return
        if away != self.state_away:
            self.state_away = away
            self.changes += 1
        if self.changes != before:
            async with self._looked:
                self._looked.notify_all()

    async def wait_for_change(self, since: int) -> int:
        """Return `changes` as soon as it is higher than `since`."""
        async with self._looked:
            await self._looked.wait_for(lambda: self.changes > since)
        return self.changes

    def touch(self) -> None:
        """Tell those who wait that something changed, at the next look."""
        self.changes += 1

    async def _look(self) -> None:
        record = await self._held.load()
        if record is not None and self._held.is_new(record):
            stored = await asyncio.to_thread(read_record, record)
            self._held.take(record)
            self.stored = stored
            self.changes += 1
            for key, why in stored.kept.not_run.items():
                log.warning("the experiment %s is not run by this release: %s", key, why)
            await self._held.keep()
        raw = [
            await cast("Any", self.redis.hgetall(key)) for key in (REPORTS_KEY, SHADOW_REPORTS_KEY, RAMPS_KEY)
        ]
        if self.stored is not None and (self.stored is not self._read_with or raw != self._raw):
            self._read(self.stored.document, *raw)
            self._read_with, self._raw = self.stored, raw
            self.changes += 1
        now = self.clock()
        if abs(now - self._beats_at) >= _BEATS_EVERY_S:  # a clock that was set back waits for nobody
            self._beats_at = now
            self.beats = tuple(await self._beats.read())
            self.traffic = self._window.add(self.beats, now)
            self.changes += 1

    def _read(self, document: Document, reports: _Hash, shadow_reports: _Hash, ramps: _Hash) -> None:
        """Take what is in Redis of what the document has: what is removed from it stays behind there."""
        experiments, models = document.experiments, document.models
        self.reports = {
            key: report
            for key, report in _decoded(reports, Report).items()
            if key in experiments and report.phase == experiments[key].phase
        }
        self.shadow_reports = tuple(
            report
            for _, report in sorted(_decoded(shadow_reports, ShadowReport).items())
            if report.model in models and report.version in models[report.model].versions
        )
        self.ramps = {key: ramp for key, ramp in _decoded(ramps, RampState).items() if key in experiments}


def _decoded(raw: _Hash, kind: type[_T]) -> dict[str, _T]:
    """What can be read of a hash of JSON; a newer release may have written more than this one knows."""
    found = {}
    for field, value in raw.items():
        try:
            found[field.decode()] = msgspec.json.decode(value, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError):
            log.warning("%s in Redis cannot be read", field)
    return found
