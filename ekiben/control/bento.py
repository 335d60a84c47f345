"""The controller as a BentoML service: the same app behind BentoML's door, for `bentoml serve`.

In production its image starts `python -m ekiben.control` instead. Mounted here, BentoML's own `/livez`,
`/readyz`, `/healthz` and `/metrics` come first; BentoML runs the lifespan of the app that is mounted.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import bentoml
from starlette.applications import Starlette

from ekiben.control.app import create_app
from ekiben.process.bento_logs import use_log_format
from ekiben.process.bento_middleware import bound_paths
from ekiben.process.http.serving import bound_bentoml

use_log_format(os.environ)
bound_bentoml()
bound_paths({"/", "/login", "/logout", "/events"}, ("/api/", "/experiments/", "/fragments/", "/static/"))


@asynccontextmanager
async def _lifespan(mounted: Starlette) -> AsyncIterator[None]:
    # Not earlier: what builds the Bento imports this module, without settings or a data directory.
    app = create_app()
    async with app.router.lifespan_context(app):
        mounted.mount("/", app)
        yield


@bentoml.service(
    name="ekiben_controller",
    workers=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(Starlette(lifespan=_lifespan), path="/")
class EkibenController:
    """Which version is better, and the ramps, promotions and roll-backs that follow."""
