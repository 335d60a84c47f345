"""Model service of credit v2: gradient boosting on all 13 features."""

from __future__ import annotations

from ekiben.serving.bento import version
from services.credit.schema import OUTPUT, Applicant

CreditV2 = version("credit_v2", Applicant, OUTPUT)
