"""Model service of credit v2: gradient boosting on all 13 features."""

from __future__ import annotations

from services.credit import OUTPUT, Applicant
from services.door import Door
from services.onnx_model import load_onnx
from services.serving import service

door = Door("credit_v2", Applicant, OUTPUT, load_onnx)
CreditV2 = service(door)
