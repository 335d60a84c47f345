"""credit as a LitServe API, the answers of `credit_onnx` in batches of what has come together.

python server.py PORT
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import litserve
from credit_onnx import Credit


class CreditAPI(litserve.LitAPI):
    """One version of credit."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self._credit = Credit()
        gc.collect()
        gc.freeze()

    def decode_request(self, request):  # LitServe takes an annotation for the request's model
        """The applicant."""
        return request["features"]

    def batch(self, inputs: list[Any]) -> list[Any]:
        """As they are."""
        return inputs

    def predict(self, x: Any) -> Any:
        """The predictions of a batch."""
        return self._credit.answer(x)

    def unbatch(self, output: Any) -> Any:
        """As they are."""
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The prediction."""
        return {"prediction": output}


if __name__ == "__main__":
    # Beside no batching, three rounds of 2 s in turn: the same for one client, 943 to 775 a second for 64.
    server = litserve.LitServer(CreditAPI(max_batch_size=64), accelerator="cpu", fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        generate_client_file=False,
        log_level="warning",
        access_log=False,
    )
