"""Whether the controller runs, is ready and is well."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ekiben.control.analysis.analyst import Analyst
from ekiben.control.api.metrics import metrics_page
from ekiben.control.api.views import file_view
from ekiben.control.desk import Desk
from ekiben.control.recording.recorder import Recorder


def health_routes(desk: Desk, recorder: Recorder, analyst: Analyst) -> list[Route]:
    """`/livez`, `/readyz`, `/healthz` and `/metrics`: open to all, they tell of no user."""
    render = metrics_page(desk, recorder, analyst)

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_request: Request) -> Response:
        # A controller without Redis still shows what it knew: turning people away would not help them.
        ready = desk.stored is not None or desk.state_away
        return PlainTextResponse("ready" if ready else "no experiments yet", 200 if ready else 503)

    async def healthz(_request: Request) -> Response:
        state = {
            "leading": desk.leading(),
            "state": not desk.state_away,
            "state_keeps": desk.durability.view(),
            "revision": desk.stored.revision if desk.stored else None,
            "recorder": {"failing": recorder.failing, "lag_s": recorder.lag_s},
            "analysis": {"failed": dict(analyst.failed), "seconds": analyst.seconds},
            "failing": dict(desk.failing()),
            "router_workers": len(desk.beats),
            "experiments_file": file_view(desk.file()),
        }
        file = desk.file()
        refused = file is not None and file.state == "refused"
        degraded = refused or desk.state_away or desk.durability.refusal or desk.failing() or analyst.failed
        body = orjson.dumps({"status": "degraded" if degraded else "ok", **state})
        return Response(body, 200 if desk.stored is not None else 503, media_type="application/json")

    async def metrics(_request: Request) -> Response:
        return Response(render(), media_type="text/plain; version=0.0.4")

    return [Route(f"/{page.__name__}", page) for page in (livez, readyz, healthz, metrics)]
