"""Applicants who keep arriving, for the demo: held-out ones, drawn again and again, each a new user.

Each brings what came of the decision that was made about them: nothing is staged, the labels are the data's.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ekiben.client import AsyncClient, ClientError, Outcome
from ekiben.terminal.errors import EkibenError
from ekiben.terminal.settings import api_key

PER_S: Final = 120
# What a loan earns, as a share of its amount: paid back, and not. As the example `credit` has it.
GAIN_OF_GOOD: Final = 0.15
LOSS_OF_BAD: Final = 0.60
LABEL: Final = "bad"
"""The outcome that says whether a loan was not paid back."""
_SAID: Final = ("home", "job")
_SEND_EVERY_S: Final = 0.25
_MOST_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Applicant:
    """A held-out application, and whether its loan was not paid back."""

    features: dict[str, Any]
    bad: bool


def said_of(features: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a client would say of the user, so that reports have segments."""
    return {name: features[name] for name in _SAID if name in features} or None


def read_applicants(path: Path) -> list[Applicant]:
    """Every held-out application. Raises EkibenError."""
    try:
        with path.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        applicants = [Applicant(row["features"], row["status"] == "bad") for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EkibenError(f"cannot read the demo's applicants from {path}: {error}") from None
    if not applicants:
        raise EkibenError(f"{path} holds no applicants for the demo")
    return applicants


def outcomes_of(applicant: Applicant, decision: str, prediction_id: str) -> list[Outcome]:
    """What came of a decision.

    `profit` is 0.15 of the amount for an approved loan that is paid back, -0.60 of it for one that is not,
    and 0 for one that was declined.
    """
    approved = decision == "approve"
    amount = float(applicant.features["amount"])
    profit = 0.0
    if approved:
        profit = -LOSS_OF_BAD * amount if applicant.bad else GAIN_OF_GOOD * amount
    values = {
        "profit": profit,
        "approved": float(approved),
        "defaulted": float(approved and applicant.bad),
        LABEL: float(applicant.bad),
    }
    return [
        Outcome(name=name, value=value, prediction_id=prediction_id, id=f"{prediction_id}.{name}")
        for name, value in values.items()
    ]


class Arrivals:
    """Sends applicants and what came of them to a router. `arrived` of them had an answer."""

    def __init__(
        self,
        router_url: str,
        model: str,
        applicants: Sequence[Applicant],
        per_s: int = PER_S,
        *,
        labels_of_approved: bool = False,
    ) -> None:
        """With `labels_of_approved` nobody learns whether a loan that was declined would be paid back."""
        self._url = router_url
        self._model = model
        self._applicants = applicants
        self._per_s = per_s
        self._labels_of_approved = labels_of_approved
        self._waiting: list[Outcome] = []
        self.arrived = 0

    async def run(self) -> None:
        """Send `per_s` applicants a second until cancelled."""
        chance = random.Random()  # noqa: S311 - a demo; every run is another draw
        run = secrets.token_hex(4)
        async with (
            AsyncClient(self._url, api_key(os.environ), timeout=10.0) as router,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._report(router))
            loop = asyncio.get_running_loop()
            begun, number = loop.time(), 0
            while True:
                due = int((loop.time() - begun) * self._per_s)
                for _ in range(min(due - number, _MOST_AT_ONCE)):
                    number += 1
                    applicant = chance.choice(self._applicants)
                    tasks.create_task(self._one(router, f"{run}-{number}", applicant))
                # What a busy machine could not send in time is not made up for in a burst.
                number = max(number, due - _MOST_AT_ONCE)
                await asyncio.sleep(1 / self._per_s)

    async def _one(self, router: AsyncClient, user: str, applicant: Applicant) -> None:
        with suppress(ClientError):
            answer = await router.predict(
                self._model, user, applicant.features, attributes=said_of(applicant.features)
            )
            decision = answer.prediction["decision"]
            self._waiting += (
                each
                for each in outcomes_of(applicant, decision, answer.prediction_id)
                if each.name != LABEL or decision == "approve" or not self._labels_of_approved
            )
            self.arrived += 1

    async def _report(self, router: AsyncClient) -> None:
        """Send what came of it, many at a time; what was not taken is kept: each has an id."""
        while True:
            await asyncio.sleep(_SEND_EVERY_S)
            if batch := self._waiting[:1000]:
                with suppress(ClientError):
                    await router.outcomes(batch)
                    del self._waiting[: len(batch)]
