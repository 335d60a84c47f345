"""The router as a BentoML service: the same app behind BentoML's door, for `bentoml serve`.

In production its image starts `python -m router` instead, which answers several times as many requests.
Mounted here, BentoML's own `/livez`, `/readyz`, `/healthz` and `/metrics` come first, and BentoML runs no
lifespan of a bare ASGI app: the hooks below start and stop it.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack

import bentoml

from ekiben.process.bento_logs import use_log_format
from ekiben.process.bento_middleware import bound_paths
from ekiben.process.http.serving import bound_bentoml
from ekiben.process.private import keep_private
from router.app import RouterApp
from router.doors.table import PLAIN, PREFIXES
from router.settings import Settings
from router.wiring import open_worker
from router.worker import Worker

use_log_format(os.environ)
bound_bentoml()
bound_paths(PLAIN, PREFIXES)


async def _open(stack: AsyncExitStack) -> Worker:
    settings = Settings.from_environ(os.environ)
    keep_private(settings.data_dir)
    # BentoML listens on all addresses unless told otherwise, and the app is not told.
    return await open_worker(settings, stack, loopback=False)


app = RouterApp(_open)


@bentoml.service(
    name="ekiben_router",
    workers=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(app, path="/")
class EkibenRouter:
    """Sticky, cached, batching: versions of a model behind one address."""

    @bentoml.on_startup
    async def start(self) -> None:
        """Start the worker before the first request."""
        await app.startup()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Answer what is in flight, then close."""
        await app.shutdown()
