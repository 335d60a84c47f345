"""Outcomes as clients get them wrong, and some that are drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """A user who takes part, one of their predictions, and the time now (seconds since 1970)."""

    user: str
    prediction: str
    now: float

    def by_user(self, **fields: Any) -> Outcome:
        """An outcome that is right, of the user, but for these fields."""
        return {"user_id": self.user, "name": "profit", "value": 1.0, **fields}

    def by_prediction(self, **fields: Any) -> Outcome:
        """An outcome that is right, of the prediction, but for these fields."""
        return {"prediction_id": self.prediction, "name": "profit", "value": 1.0, **fields}

    def at(self, seconds: float) -> str:
        """So many seconds from now."""
        return datetime.fromtimestamp(self.now + seconds, UTC).isoformat().replace("+00:00", "Z")


Make = Callable[[Known], list[Outcome]]

GOOD: Final[tuple[Make, ...]] = (
    lambda known: [known.by_prediction()],
    lambda known: [known.by_user()],
)

WRONG: Final[dict[str, Make]] = {
    "local time sent as UTC": lambda known: [known.by_user(at=known.at(-5 * 3600))],
    "a second before its user's first prediction": lambda known: [known.by_user(at=known.at(-600))],
    "a little in the future": lambda known: [known.by_user(at=known.at(250))],
    "of the year 1": lambda known: [known.by_user(at="0001-01-01T00:00:00Z")],
    "of the year 1900": lambda known: [known.by_prediction(at="1900-01-01T00:00:00Z")],
    "a blank behind the user id": lambda known: [known.by_user(user_id=f"{known.user} ")],
    "a blank before the user id": lambda known: [known.by_user(user_id=f" {known.user}")],
    "7.0 for the user 7": lambda known: [known.by_user(user_id="7.0")],
    "a user id in capitals": lambda known: [known.by_user(user_id=known.user.upper())],
    "an invisible sign in the user id": lambda known: [known.by_user(user_id=f"{known.user}\u200b")],
    "nobody": lambda known: [known.by_user(user_id="who-never-was")],
    "Profit for profit": lambda known: [known.by_user(name="Profit")],
    "a blank behind the name": lambda known: [known.by_user(name="profit ")],
    "a misspelled name": lambda known: [known.by_user(name="proft")],
    "a name of nothing": lambda known: [known.by_user(name="weather")],
    "an id used twice": lambda known: [known.by_user(id=f"twice-{known.user}")] * 2,
    "an id used for another value": lambda known: [
        known.by_user(id=f"other-{known.user}"),
        known.by_user(id=f"other-{known.user}", value=2.0),
    ],
    "no such prediction": lambda known: [known.by_prediction(prediction_id="0190f3c0-never")],
    "a blank behind the prediction id": lambda known: [
        known.by_prediction(prediction_id=f"{known.prediction} ")
    ],
    "a label that is neither 0 nor 1": lambda known: [known.by_prediction(name="bad", value=0.5)],
    "a label that names a user": lambda known: [known.by_user(name="bad", value=1)],
    "two labels for one prediction": lambda known: [known.by_prediction(name="bad", value=1)] * 2,
    "of a user with an override": lambda known: [known.by_user(user_id="u-override")],
    "of a user outside of experiments": lambda known: [known.by_user(user_id="u-without")],
    "the largest value": lambda known: [known.by_user(value=1e30)],
}


def drawn(generator: random.Random, known: Known) -> Outcome:
    """An outcome in which anything can be wrong."""
    letters = "profitbad- é\u200b0"
    names = ("profit", "bad", "".join(generator.choices(letters, k=generator.randint(1, 12))))
    made: Outcome = {
        "name": generator.choice(names),
        "value": generator.choice((0, 1, -1.5, 1e-300, generator.uniform(-1e30, 1e30))),
    }
    if generator.random() < 0.5:
        made["user_id"] = generator.choice((known.user, "".join(generator.choices(letters, k=5)), "7"))
    else:
        made["prediction_id"] = generator.choice((known.prediction, f"{generator.getrandbits(64):x}"))
    if generator.random() < 0.7:
        seconds = generator.choice((generator.uniform(-3e10, 290.0), generator.uniform(-7200.0, 0.0)))
        made["at"] = known.at(seconds)
    if generator.random() < 0.5:
        made["id"] = f"drawn-{generator.randint(1, 2)}"
    return made
