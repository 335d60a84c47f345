"""The BentoML service of a version: what is around its door, and what BentoML is told of it.

Without `from __future__ import annotations`: BentoML reads the types of `predict`, and a door brings them.
"""

from typing import Any

import bentoml

from ekiben.serving.door import BATCHING, SETTINGS, Door


def service(door: Door) -> Any:
    """The BentoML service behind `door`, to be given a name in the module of its version."""
    features: Any = door.features
    prediction: Any = door.output.prediction

    class Version:
        __doc__ = prediction.__doc__
        model = door.model  # what `bentoml build` packs

        @bentoml.on_deployment
        @staticmethod
        def before_workers_start() -> None:
            """Refuse, in one line, to start with a model that is missing or was tampered with."""
            door.check()

        def __init__(self) -> None:
            door.open()

        @bentoml.api(**BATCHING)
        async def predict(self, instances: list[features]) -> list[prediction]:
            """One prediction for each instance, in order."""
            return door.predict(instances)

    made = bentoml.asgi_app(door.app)(bentoml.service(Version, name=door.model.tag.name, **SETTINGS))
    door.attach(made)
    return made
