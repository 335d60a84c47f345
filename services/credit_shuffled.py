"""Model service of credit shuffled: trained on shuffled labels, for `ekiben up --scenario bad-version`."""

from __future__ import annotations

import bentoml

from services.credit import OUTPUT, Applicant, Prediction
from services.door import BATCHING, SETTINGS, Door
from services.onnx_model import load_onnx

door = Door("credit_shuffled", Applicant, OUTPUT, load_onnx)


@bentoml.service(name="credit_shuffled", **SETTINGS)
@bentoml.asgi_app(door.app)
class CreditShuffled:
    """How likely a loan is not paid back, and whether to approve it."""

    model = door.model  # what `bentoml build` packs

    @bentoml.on_deployment
    @staticmethod
    def before_workers_start() -> None:
        """Refuse, in one line, to start with a model that is missing or was tampered with."""
        door.check()

    def __init__(self) -> None:
        door.open()

    @bentoml.api(**BATCHING)
    async def predict(self, instances: list[Applicant]) -> list[Prediction]:
        """One prediction for each instance, in order."""
        return door.predict(instances)


door.attach(CreditShuffled)
