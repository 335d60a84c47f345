"""Model service of credit v2: gradient boosting on all 13 features."""

from __future__ import annotations

from ekiben.serving.bento_service import service
from ekiben.serving.door import Door
from ekiben.serving.onnx_model import load_onnx
from services.credit.schema import OUTPUT, Applicant

door = Door("credit_v2", Applicant, OUTPUT, load_onnx)
CreditV2 = service(door)
