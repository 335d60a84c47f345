"""Model service of credit shuffled: trained on shuffled labels, for `ekiben up --scenario bad-version`."""

from __future__ import annotations

from services.credit import OUTPUT, Applicant
from services.door import Door
from services.onnx_model import load_onnx
from services.serving import service

door = Door("credit_shuffled", Applicant, OUTPUT, load_onnx)
CreditShuffled = service(door)
