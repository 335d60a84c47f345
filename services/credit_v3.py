"""Model service of credit v3: a small torch network with embedded categories."""

from __future__ import annotations

import bentoml

from services.credit import OUTPUT, Applicant, Prediction
from services.credit_net import load_credit_net
from services.door import BATCHING, SETTINGS, Door

door = Door("credit_v3", Applicant, OUTPUT, load_credit_net)


@bentoml.service(name="credit_v3", **SETTINGS)
@bentoml.asgi_app(door.app)
class CreditV3:
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


door.attach(CreditV3)
