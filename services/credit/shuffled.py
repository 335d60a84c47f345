"""Model service of credit shuffled: trained on shuffled labels, for `ekiben up --scenario bad-version`."""

from __future__ import annotations

from ekiben.serving.bento import version
from services.credit.schema import OUTPUT, Applicant

CreditShuffled = version("credit_shuffled", Applicant, OUTPUT)
