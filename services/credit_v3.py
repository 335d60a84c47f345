"""Model service of credit v3: a small torch network with embedded categories."""

from __future__ import annotations

from services.credit import OUTPUT, Applicant
from services.credit_net import load_credit_net
from services.door import Door
from services.serving import service

door = Door("credit_v3", Applicant, OUTPUT, load_credit_net)
CreditV3 = service(door)
