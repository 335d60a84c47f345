"""The controller's app, and the one place that wires it together."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.routing import Mount

from ekiben.control.acting.applying import apply_file
from ekiben.control.acting.editing import Editor
from ekiben.control.acting.notifying import Notifier
from ekiben.control.acting.ramps import Ramps
from ekiben.control.analysis.analysing import Analyses
from ekiben.control.analysis.analyst import Analyst
from ekiben.control.api.admin import admin_app
from ekiben.control.api.health import health_routes
from ekiben.control.auth import Auth
from ekiben.control.dashboard.app import Dashboard
from ekiben.control.desk import Desk
from ekiben.control.parts import running
from ekiben.control.recording.clocks import Clocks
from ekiben.control.recording.files import EventFiles
from ekiben.control.recording.forgetting import Forgetting
from ekiben.control.recording.housekeeping import Housekeeper
from ekiben.control.recording.recorder import Recorder
from ekiben.control.settings import Settings
from ekiben.process.environ import BadSetting
from ekiben.process.logs import configure_logs
from ekiben.process.private import keep_private
from ekiben.state.connecting import open_state
from ekiben.state.documents.applying import Applier, Waits
from ekiben.state.documents.redaction import redact_user
from ekiben.state.lease import Lease
from ekiben.state.user import user_hash, user_salt

# Who still knows the experiments of an empty Redis fills it, before the file may begin a new history.
_EMPTY_S: Final = 1.5


class Controller:
    """A controller as `settings` say. Nothing connects or runs before the app's lifespan begins.

    Raises `SaltMissing`, and `OSError` for a data directory that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = redis = open_state(settings.state_url)
        self._salt = user_salt(os.environ, settings.data_dir, settings.host)
        desk = Desk(settings, redis)
        lease = Lease(redis, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}")
        files = EventFiles(settings.events_url)
        recorder = Recorder(redis, files, lease, settings.record_every_s)
        desk.leading = lease.held
        desk.recorder_lag_s = lambda: recorder.lag_s
        analyses = Analyses(files, settings.data_dir / f"aggregates-{settings.port}")
        analyst = Analyst(desk, lease, analyses)

        async def may_apply() -> bool:
            return lease.held()

        applier = None
        if (file := settings.experiments_file) is not None:
            waits = Waits(empty_s=_EMPTY_S)
            applier = Applier(desk.store, file, may_apply, lease=lease, waits=waits)
            desk.file = lambda: applier.standing
        self._store = desk.store
        self._forgetting = Forgetting(redis, files, lease, recorder.hurry, analyses.let_go)
        clocks = Clocks(redis)
        keeper = Housekeeper(files, lease, self._forgetting, settings.events_days, clocks=clocks)
        desk.clock_off = lambda: clocks.off
        notifier = None
        if settings.notify_url:
            notifier = Notifier(desk, lease, settings.notify_url, settings.notify_token)
        desk.failing = lambda: _failing(recorder, analyst, keeper, clocks, notifier)
        auth, editor = Auth.from_settings(settings), Editor(desk)
        self._dashboard = Dashboard(desk, auth, editor)

        def leading(_held: bool) -> None:
            desk.touch()
            recorder.hurry()

        # They begin in this order and end in the opposite one: what was gathered is recorded under the lease.
        self._parts = {
            "desk": desk.run,
            "lease": lambda: lease.run(leading),
            "recorder": recorder.run,
            "clocks": clocks.run,
            "housekeeper": keeper.run,
            "analyst": analyst.run,
            "ramps": Ramps(desk, lease).run,
        }
        if notifier is not None:
            self._parts["notifier"] = notifier.run
        if applier is not None:
            self._parts["applier"] = lambda: apply_file(applier, desk.touch)
        self.app = Starlette(
            routes=[
                *health_routes(desk, recorder, analyst),
                Mount(
                    "/api", admin_app(desk, editor, auth, self._forget, analyses.history, analyses.compare)
                ),
                Mount("/", self._dashboard),
            ],
            lifespan=self._lifespan,
        )

    def stop_streaming(self) -> None:
        """End the pages' event streams: a server that stops waits for them."""
        self._dashboard.close()

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with running(self._parts):
            yield
            self.stop_streaming()
        await self._redis.aclose()

    async def _forget(self, user_id: str) -> Mapping[str, int]:
        known_as = user_hash(self._salt, user_id)
        # Before the events: at their end Redis is asked to rewrite its log, which holds the entries as well.
        await redact_user(self._redis, self._store, user_id, f"forgotten-{known_as[:16]}")
        return msgspec.structs.asdict(await self._forgetting.forget(known_as))


def _failing(
    recorder: Recorder, analyst: Analyst, keeper: Housekeeper, clocks: Clocks, notifier: Notifier | None
) -> dict[str, str]:
    parts = {
        "recorder": recorder.failing,
        "clock": clocks.off,
        "retention": keeper.retention.refused,
        "notifications": notifier.failing if notifier is not None else None,
    }
    failed = {f"analysis of {what}": why for what, why in analyst.failed.items()}
    return {part: why for part, why in parts.items() if why is not None} | failed


def create_app() -> Starlette:
    """The app as the environment describes it, for a server that is not ours. Raises `BadSetting`."""
    settings = Settings.from_environ(os.environ)
    if settings.trusted_user_header:
        raise BadSetting(
            "EKIBEN_TRUSTED_USER_HEADER needs `python -m ekiben.control`: another server may believe "
            "addresses that clients write into headers"
        )
    keep_private(settings.data_dir)
    configure_logs(settings.log_format, settings.log_level)
    return Controller(settings).app
