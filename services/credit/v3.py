"""Model service of credit v3: a small torch network with embedded categories."""

from __future__ import annotations

from ekiben.serving.bento import version
from services.credit.net import load_credit_net
from services.credit.schema import OUTPUT, Applicant

CreditV3 = version("credit_v3", Applicant, OUTPUT, load_credit_net)
