"""Model service of credit v1: the old scorecard, a logistic regression on six numbers."""

from __future__ import annotations

from services.credit import OUTPUT, Applicant
from services.door import Door
from services.onnx_model import load_onnx
from services.serving import service

door = Door("credit_v1", Applicant, OUTPUT, load_onnx)
CreditV1 = service(door)
