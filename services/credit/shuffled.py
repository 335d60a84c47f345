"""Model service of credit shuffled: trained on shuffled labels, for `ekiben up --scenario bad-version`."""

from __future__ import annotations

from ekiben.serving.bento_service import service
from ekiben.serving.door import Door
from ekiben.serving.onnx_model import load_onnx
from services.credit.schema import OUTPUT, Applicant

door = Door("credit_shuffled", Applicant, OUTPUT, load_onnx)
CreditShuffled = service(door)
