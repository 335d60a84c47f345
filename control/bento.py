"""The controller as a BentoML service: the same app behind BentoML's door, for `bentoml serve`.

In production its image starts `python -m control` instead. Mounted here, BentoML's own `/livez`, `/readyz`,
`/healthz` and `/metrics` come first; BentoML runs the lifespan of the mounted app.
"""

from __future__ import annotations

import bentoml

from control.app import create_app


@bentoml.service(
    name="ekiben_controller",
    workers=1,
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(create_app(), path="/")
class EkibenController:
    """Which version is better, and the ramps, promotions and roll-backs that follow."""
