"""What a confirmation says of a change."""

from __future__ import annotations

import pytest

from ekiben.experiments.changes import actions
from ekiben.experiments.changes.consequences import consequence
from ekiben.experiments.document import Document, Ramp
from tests.experiments.test_actions import KEY, credit

RAMP = Ramp(steps=(10.0, 100.0), every="30m")
END = "the experiment ends for good."
STAYS = "Nobody who still takes part changes variant."
HOW = (
    "The ramp takes coverage to 10, 100 %, each step for at least 30m while its guardrails hold; a violation "
    "rolls back by itself; after the last step it waits for a person."
)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            credit("draft"),
            actions.start(credit("draft"), KEY),
            "100 % of users take part (control v1, treatment v2); the others get v1.",
        ),
        (
            credit(),
            actions.pause(credit(), KEY),
            "Everyone gets v1 until it is resumed; nobody's variant changes.",
        ),
        (
            credit(),
            actions.roll_back(credit(), KEY),
            f"Everyone gets v1 within a second, and {END}",
        ),
        (
            credit(),
            actions.promote(credit(), KEY),
            f"v2 becomes the live version of credit instead of v1: everyone gets it, and {END}",
        ),
        (
            credit("paused"),
            actions.set_ramp(credit("paused"), KEY, RAMP),
            f"Once it runs, 100 % of users take part (control v1, treatment v2). {HOW}",
        ),
        (
            actions.set_ramp(credit(coverage=10), KEY, RAMP),
            credit(coverage=10),
            "Coverage stays at 10 % until somebody changes it.",
        ),
        (
            credit(coverage=50),
            actions.set_coverage(credit(), KEY, 5),
            f"5 % of users take part (control v1, treatment v2); before it was 50 %. {STAYS}",
        ),
        (
            credit(),
            actions.acknowledge(credit(), KEY, ["credit_v2:b"]),
            "These redeployments block the verdict no longer.",
        ),
        (credit(), credit(), "Nobody gets another version."),
    ],
)
def test_a_change_is_told_by_what_it_means_for_users(before: Document, after: Document, words: str) -> None:
    assert consequence(before, after, KEY) == words
