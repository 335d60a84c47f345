"""Who asks: a population of users, each with an application of his own, some of whom come far more often."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass
from pathlib import Path

# What a loan earns, as a share of its amount: approved and paid back, approved and not.
_GAIN_OF_GOOD = 0.15
_LOSS_OF_BAD = -0.60


class BadApplications(ValueError):
    """A file of applications that cannot be used; the message names it and the line."""


@dataclass(frozen=True, slots=True)
class Application:
    """One applicant: the features as the JSON that is sent, what he asks for, how the loan ended."""

    features: str
    amount: float
    good: bool

    def with_more(self, more: float) -> Application:
        """The same for an amount that is higher by `more`. One without an amount stays as it is."""
        if not more or not self.amount:
            return self
        amount = round(self.amount + more, 2)
        features = json.dumps({**json.loads(self.features), "amount": amount}, separators=(",", ":"))
        return Application(features, amount, self.good)


@dataclass(frozen=True, slots=True)
class Applicant:
    """A user and his application, which is the same every time he comes."""

    user_id: str
    application: Application

    def body(self) -> str:
        """The body of his request to `POST /predict/{model}`."""
        return f'{{"user_id":"{self.user_id}","features":{self.application.features}}}'


def read_applications(path: Path) -> list[Application]:
    """Read lines of `{"features": {…}, "status": "good"|"bad"}`. Raises `BadApplications`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise BadApplications(f"cannot read {path}: {error}") from None
    found = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            features, status = row["features"], row["status"]
            if type(features) is not dict or status not in ("good", "bad"):
                raise TypeError
            found.append(
                Application(
                    json.dumps(features, separators=(",", ":")),
                    float(features.get("amount") or 0.0),
                    status == "good",
                )
            )
        except (ValueError, KeyError, TypeError):
            raise BadApplications(
                f'{path}, line {number}: it must be {{"features": {{…}}, "status": "good" or "bad"}}'
            ) from None
    if not found:
        raise BadApplications(f"{path} holds no applications")
    return found


class Population:
    """`size` users, `u-1` the most frequent: the user of rank r comes with probability ~ r^-exponent (Zipf).

    A user has the same application in every process and in every run, and no other user has it: users who
    share a row ask for amounts that differ by cents. `chance` decides only who comes.
    """

    def __init__(
        self, applications: list[Application], size: int, exponent: float, chance: random.Random
    ) -> None:
        self._applications = applications
        self._ranks = range(1, size + 1)
        self._cumulative = list(itertools.accumulate(rank**-exponent for rank in self._ranks))
        self._chance = chance

    def draw(self) -> Applicant:
        """The user who comes next."""
        (rank,) = self._chance.choices(self._ranks, cum_weights=self._cumulative)
        return self.applicant(rank)

    def applicant(self, rank: int) -> Applicant:
        """The user of a rank, counted from 1."""
        cents, row = divmod(rank - 1, len(self._applications))
        return Applicant(f"u-{rank}", self._applications[row].with_more(cents / 100))


def profit(application: Application, decision: str) -> float:
    """What a decision earned: +15 % of the amount of a good loan, -60 % of a bad one, 0 when declined."""
    if decision != "approve":
        return 0.0
    return application.amount * (_GAIN_OF_GOOD if application.good else _LOSS_OF_BAD)
