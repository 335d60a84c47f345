"""What a confirmation says of a verb."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.changes.fields import read_values
from ekiben.experiments.changes.verbs import VERBS
from ekiben.experiments.document import Document
from tests.experiments.test_verbs import KEY, credit

RAMP: dict[str, Any] = {"steps": [10.0, 100.0], "every": "30m"}
END = "The experiment ends and cannot be started again."
SHARES = "100 % of users take part (control v1, treatment v2)."
HOW = (
    "The ramp takes coverage to 10, 100 %, each step for at least 30m while its guardrails hold. A violation "
    "rolls back by itself. After the last step it waits for a person."
)


@pytest.mark.parametrize(
    ("before", "verb", "fields", "words"),
    [
        (
            credit("draft"),
            "start",
            {},
            f"{SHARES} The others get v1. Coverage stays at 100 % until a person changes it.",
        ),
        (credit(), "pause", {}, "Everyone gets v1 until it is resumed. No user's variant changes."),
        (credit(), "roll-back", {}, f"Everyone gets v1 within a second. {END}"),
        (
            credit(),
            "promote",
            {},
            f"v2 becomes the live version of credit instead of v1. Everyone gets it. {END}",
        ),
        (credit("paused"), "ramp", RAMP, f"Once it runs, {SHARES} {HOW}"),
        (
            credit(ramp=RAMP),
            "ramp",
            {"off": True},
            f"{SHARES} Coverage stays at 100 % until a person changes it.",
        ),
        (
            credit(),
            "acknowledge",
            {"model_versions": ["credit_v2:b"]},
            "These redeployments block the verdict no longer.",
        ),
    ],
)
def test_a_verb_says_what_it_means_for_users(
    before: Document, verb: str, fields: dict[str, Any], words: str
) -> None:
    row = VERBS[verb]
    after = row.act(before, KEY, read_values(row.body, fields))
    assert row.meaning(before, after, KEY) == words
