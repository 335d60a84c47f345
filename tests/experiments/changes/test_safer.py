"""Two histories made one: of each experiment the safer state."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.changes import edits
from ekiben.experiments.changes.safer import safer
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Document
from ekiben.experiments.parsing import parse_document
from tests.router.documents import EXPERIMENT, credit

RUNNING = parse_document(credit(experiment={"coverage": 50}))


@pytest.mark.parametrize(
    ("one", "other", "status", "coverage"),
    [
        (act("roll-back", RUNNING, EXPERIMENT), RUNNING, "rolled_back", 50),
        (act("pause", RUNNING, EXPERIMENT), RUNNING, "paused", 50),
        (edits.set_coverage(RUNNING, EXPERIMENT, 10), RUNNING, "running", 10),
        (act("promote", RUNNING, EXPERIMENT), act("roll-back", RUNNING, EXPERIMENT), "rolled_back", 50),
        (act("promote", RUNNING, EXPERIMENT), edits.set_coverage(RUNNING, EXPERIMENT, 10), "promoted", 50),
        (act("pause", RUNNING, EXPERIMENT), act("roll-back", RUNNING, EXPERIMENT), "rolled_back", 50),
    ],
)
def test_the_safer_state_is_taken_whichever_side_it_is_on(
    one: Document, other: Document, status: str, coverage: float
) -> None:
    for first, second in ((one, other), (other, one)):
        merged, lines = safer(first, second)
        experiment = merged.experiments[EXPERIMENT]
        assert (experiment.status, experiment.coverage) == (status, coverage)
        assert lines
        assert EXPERIMENT in lines[0]
        live = "v2" if status == "promoted" else "v1"
        assert merged.models["credit"].live == live


def test_one_that_only_one_side_has_is_kept_and_serves_nobody() -> None:
    merged, lines = safer(parse_document({"models": credit()["models"]}), RUNNING)
    assert merged.experiments[EXPERIMENT].status == "paused"
    assert "not there" in lines[0]


def test_what_is_equal_is_no_line() -> None:
    assert safer(RUNNING, RUNNING) == (RUNNING, ())


def test_what_does_not_fit_together_waits_for_a_person() -> None:
    def two(*keys: str) -> Document:
        data: dict[str, Any] = credit()
        held = data["experiments"].pop(EXPERIMENT)
        data["experiments"] = dict.fromkeys(keys, held)
        return parse_document(data)

    merged, lines = safer(two("one"), two("other"))
    # Both take all of the model's users: neither serves.
    assert {each.status for each in merged.experiments.values()} == {"paused"}
    assert "do not fit" in lines[-1]
