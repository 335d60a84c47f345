"""Model service of credit v1: the old scorecard, a logistic regression on six numbers."""

from __future__ import annotations

from ekiben.serving.bento_service import service
from ekiben.serving.door import Door
from ekiben.serving.onnx_model import load_onnx
from services.credit.schema import OUTPUT, Applicant

door = Door("credit_v1", Applicant, OUTPUT, load_onnx)
CreditV1 = service(door)
