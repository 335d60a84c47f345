"""The controller's app, and the one place that wires it together."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount

from control.admin import admin_app
from control.analyst import Analyst
from control.auth import Auth
from control.desk import Desk
from control.event_files import EventFiles
from control.forgetting import Forgetting
from control.forgetting_users import forget_by_id
from control.health import health_routes
from control.parts import running
from control.ramps import Ramps
from control.recorder import Recorder
from control.settings import Settings
from control.verbs import Verbs
from experiments.report import Report, ShadowReport
from process.logs import configure_logs
from state.document import Stored, open_state
from state.lease import Lease


class _NoAnalysis:
    def report(self, experiment: str, stored: Stored, now: float) -> Report:
        raise NotImplementedError

    def shadow_reports(self, stored: Stored, now: float) -> list[ShadowReport]:
        raise NotImplementedError


def build_app(settings: Settings) -> Starlette:
    """A controller as `settings` say. Nothing connects or runs before the app's lifespan begins."""
    redis = open_state(settings.state_url)
    desk = Desk(settings, redis, note=settings.note)
    lease = Lease(redis, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}")
    files = EventFiles(settings.events_url)
    recorder = Recorder(redis, files, lease, settings.record_every_s)
    desk.recorder_lag = lambda: recorder.lag_s
    analyst = Analyst(desk, lease, _NoAnalysis(), settings.analyse_every_s, lambda: recorder.lag_s)

    forgetting = Forgetting(redis, files, lease, recorder.hurry)
    forget = forget_by_id(forgetting, settings, os.environ)
    api = admin_app(desk, Verbs(desk), Auth.from_settings(settings), forget)

    def leading(held: bool) -> None:
        desk.leading = held
        desk.touch()
        recorder.hurry()

    # In this order they begin; they end in the opposite one: the lease last, so that what was gathered is
    # still recorded under it.
    parts = {
        "desk": desk.run,
        "lease": lambda: lease.run(leading),
        "recorder": recorder.run,
        "ramps": Ramps(desk, lease).run,
    }

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with running(parts):
            yield
        await redis.aclose()

    routes = [*health_routes(desk, recorder, analyst), Mount("/api", app=api)]
    return Starlette(routes=routes, lifespan=lifespan)


def create_app() -> Starlette:
    """The app as the environment describes it: what uvicorn and BentoML run."""
    settings = Settings.from_environ(os.environ)
    configure_logs(settings.log_format, settings.log_level)
    return build_app(settings)
