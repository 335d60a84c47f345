"""Model service of credit v1: the old scorecard, a logistic regression on six numbers."""

from __future__ import annotations

from ekiben.serving.bento import version
from services.credit.schema import OUTPUT, Applicant

CreditV1 = version("credit_v1", Applicant, OUTPUT)
