"""Model service of credit v3: a small torch network with embedded categories."""

from __future__ import annotations

from ekiben.serving.bento_service import service
from ekiben.serving.door import Door
from services.credit.net import load_credit_net
from services.credit.schema import OUTPUT, Applicant

door = Door("credit_v3", Applicant, OUTPUT, load_credit_net)
CreditV3 = service(door)
