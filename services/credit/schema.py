"""The model `credit`: what every version of it is asked, what it answers, and the rule that decides."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ekiben.serving.features import Features, category, number
from ekiben.serving.output import Output

# An approved loan that is paid back earns 15 % of its amount, one that is not loses 60 %. Approving pays
# while 0.15 · (1 - p) > 0.60 · p, so up to p = 0.15 / 0.75.
GAIN_OF_GOOD: Final = 0.15
LOSS_OF_BAD: Final = 0.60
BREAK_EVEN: Final = 0.20

_MOST_MONEY: Final = 1e9
_MONEY: Final = "money, in the data's own unit"


class Applicant(Features):
    """One loan application."""

    seniority: float = number(0, 80, "years", "time in the present job")
    home: str | None = category("owner, rent, parents, priv, ignore or other", missing=True)
    time: float = number(1, 600, "months", "length of the loan asked for")
    age: float = number(0, 120, "years", "age of the applicant")
    marital: str | None = category("married, single, separated, divorced or widow", missing=True)
    records: str = category("whether there are records of earlier defaults: yes or no")
    job: str | None = category("fixed, partime, freelance or others", missing=True)
    expenses: float = number(0, _MOST_MONEY, _MONEY, "what the applicant spends")
    income: float | None = number(0, _MOST_MONEY, _MONEY, "what the applicant earns", missing=True)
    assets: float | None = number(0, _MOST_MONEY, _MONEY, "what the applicant owns", missing=True)
    debt: float | None = number(0, _MOST_MONEY, _MONEY, "what the applicant owes", missing=True)
    amount: float = number(0, _MOST_MONEY, _MONEY, "the loan asked for")
    price: float = number(0, _MOST_MONEY, _MONEY, "price of what the loan is to buy")


class Prediction(BaseModel):
    """How likely a loan is not paid back, and whether to approve it."""

    model_config = ConfigDict(frozen=True)

    probability_bad: float = Field(ge=0, le=1, description="how likely the loan is not paid back")
    decision: Literal["approve", "decline"] = Field(
        description=f"approve while probability_bad is below {BREAK_EVEN}, where a loan breaks even"
    )


def answers(scores: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The answers for the probabilities of `bad` in `scores` (one each, 0 to 1), rounded to 6 decimals."""
    return [
        {"probability_bad": score, "decision": "approve" if score < BREAK_EVEN else "decline"}
        for score in np.round(scores, 6).tolist()
    ]


OUTPUT: Final = Output(Prediction, answers, score="probability_bad", decision="decision", positive="bad")
