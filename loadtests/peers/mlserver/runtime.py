"""credit as an MLServer runtime: an applicant comes as JSON in a BYTES input, the prediction goes so too."""

from __future__ import annotations

import gc

import orjson
from credit_onnx import Credit
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class CreditRuntime(MLModel):
    """One version of credit."""

    async def load(self) -> bool:
        """Load the model."""
        self._credit = Credit()
        gc.collect()
        gc.freeze()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """One prediction for each element of the input."""
        texts = payload.inputs[0].data.root
        predictions = self._credit.answer([orjson.loads(text) for text in texts])
        data = [orjson.dumps(prediction).decode() for prediction in predictions]
        output = ResponseOutput(name="prediction", shape=[len(data)], datatype="BYTES", data=data)
        return InferenceResponse(model_name=self.name, outputs=[output])
