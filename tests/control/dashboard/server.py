"""A controller's pages and API over a Redis that the test has filled, as a program.

Arguments: the Redis URL, a port, a data directory. EKIBEN_* settings count as they do for a controller. With
`EKIBEN_TEST_ROUTER` set, router workers beat, as far as Redis can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from ekiben.control.acting.editing import Editor
from ekiben.control.analysis.analysing import Analyses
from ekiben.control.api.admin import admin_app
from ekiben.control.auth import Auth
from ekiben.control.dashboard import Dashboard
from ekiben.control.desk import Desk
from ekiben.control.recording.files import EventFiles
from ekiben.control.settings import Settings
from ekiben.process.tasks import end_tasks
from ekiben.state.beats import Beats
from ekiben.state.connecting import StateUnavailable, open_state
from tests.control.dashboard.beats import beat_of


async def _forget(_user: str) -> Mapping[str, int]:
    return {}


async def _beat(desk: Desk) -> None:
    beats, begun = Beats(desk.redis), desk.clock()
    while True:
        with contextlib.suppress(StateUnavailable):
            for place in range(2):
                await beats.write(beat_of(place, desk.stored, begun - 8_000, desk.clock()))
        await asyncio.sleep(0.5)


def build(settings: Settings, *, router: bool) -> Starlette:
    redis = open_state(settings.state_url)
    desk = Desk(settings, redis)
    auth, editor = Auth.from_settings(settings), Editor(desk)
    dashboard = Dashboard(desk, auth, editor)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(desk.run())]
        if router:
            tasks.append(asyncio.create_task(_beat(desk)))
        yield
        await end_tasks(*tasks)

    analyses = Analyses(EventFiles(str(settings.data_dir / "events")))
    api = admin_app(desk, editor, auth, _forget, analyses.history)
    routes = [Mount("/api", api), Mount("/", dashboard)]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    url, port, folder = sys.argv[1:]
    environ = {
        **os.environ,
        "EKIBEN_STATE_URL": url,
        "EKIBEN_DATA_DIR": folder,
        "EKIBEN_CONTROLLER_PORT": port,
    }
    settings = Settings.from_environ(environ)
    app = build(settings, router="EKIBEN_TEST_ROUTER" in os.environ)
    listen = os.environ.get("EKIBEN_TEST_LISTEN", "127.0.0.1")
    Path(folder).mkdir(exist_ok=True)
    uvicorn.run(
        app,
        host=listen,
        port=int(port),
        log_level="warning",
        timeout_graceful_shutdown=1,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
