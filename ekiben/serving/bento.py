"""The BentoML service of a version. Its module is one line:

    ChurnV1 = version("churn_v1", Customer, OUTPUT)

Without `from __future__ import annotations`: BentoML reads the types of `predict`, and a version brings them.
"""

from typing import Any

import bentoml

from ekiben.serving.door import BATCHING, SETTINGS, Door
from ekiben.serving.features import Features
from ekiben.serving.models.loading import load_published
from ekiben.serving.models.model import Loader
from ekiben.serving.output import Output


def version(name: str, features: type[Features], output: Output, load: Loader = load_published) -> Any:
    """The service of the latest `name` in BentoML's store, to be given a name in the module of its version.

    What it was published to be served as says how it is loaded, unless `load` does.
    """
    door = Door(name, features, output, load)
    instance: Any = features
    prediction: Any = output.prediction

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
        async def predict(self, instances: list[instance]) -> list[prediction]:
            """One prediction for each instance, in order."""
            return door.predict(instances)

    made = bentoml.asgi_app(door.app)(bentoml.service(Version, name=name, **SETTINGS))
    door.attach(made)
    return made
