"""A treatment of several that is taken out of a running experiment."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.consequences import words_of
from ekiben.experiments.changes.edits import edited, set_coverage
from ekiben.experiments.changes.releases import (
    REQUIRES,
    keys_beyond_base,
    read_document,
    read_routing,
    routing_data,
    write_document,
)
from ekiben.experiments.changes.safer import safer
from ekiben.experiments.changes.verbs import VERBS, act
from ekiben.experiments.document import Document
from ekiben.experiments.problems import DocumentError
from ekiben.experiments.snapshot import Snapshot
from tests.experiments.documents import credit, credit_document, problems, variants

KEY = "credit-net"
USERS = [f"u-{number}" for number in range(20_000)]
THREE = variants(control=40, a=30, b=30)
BEFORE = credit_document(variants=THREE, overrides={"u-qa": "a"}, coverage=80)
AFTER = act("retire", BEFORE, KEY, variant="a")


def served(document: Document) -> dict[str, tuple[Any, ...]]:
    plan = Snapshot("lineage", 1, document).plans["credit"]
    return {user: (each.variant, each.version) for user in USERS for each in (plan.assign(user),)}


def refusal(before: Document, verb: str, **fields: Any) -> str:
    with pytest.raises(DocumentError) as refused:
        act(verb, before, KEY, **fields)
    return refused.value.problems[0]


def test_its_users_get_live_outside_the_experiment_and_nobody_else_moves() -> None:
    before, after = served(BEFORE), served(AFTER)
    moved = {user for user in USERS if before[user] != after[user]}
    assert moved == {user for user, (variant, _) in before.items() if variant == "a"}
    assert 4_500 < len(moved) < 5_100  # 30 % of 80 % of 20,000
    assert {after[user] for user in moved} == {(None, "v1")}
    assignment = Snapshot("lineage", 1, AFTER).plans["credit"].assign(min(moved))
    assert (assignment.reason, assignment.assigned_by, assignment.in_experiment) == ("retired", None, False)


def test_raising_coverage_later_moves_nobody_who_takes_part_and_brings_nobody_into_it() -> None:
    before, after = served(AFTER), served(set_coverage(AFTER, KEY, 100))
    for user in USERS:
        assert before[user] == after[user] or before[user] == (None, "v1")
        assert after[user][0] != "a"


def test_an_override_still_shows_it_to_who_tests_it() -> None:
    assert Snapshot("lineage", 1, AFTER).plans["credit"].assign("u-qa").variant == "a"


def test_the_last_treatment_the_control_and_one_that_is_retired_are_refused() -> None:
    assert "to end with the control, roll back" in refusal(AFTER, "retire", variant="b")
    assert "is the control: to end with it, roll back" in refusal(BEFORE, "retire", variant="control")
    assert "has retired a" in refusal(AFTER, "retire", variant="a")
    assert "has retired a" in refusal(AFTER, "promote", variant="a")
    assert act("promote", AFTER, KEY).models["credit"].live == "v3"  # the one that is left need not be named
    assert VERBS["retire"].treatments(BEFORE.experiments[KEY]) == ("a", "b")
    assert VERBS["retire"].treatments(AFTER.experiments[KEY]) == ()


def test_a_document_says_what_cannot_be_retired() -> None:
    retired = {name: {**each, "retired": True} for name, each in THREE.items()}
    assert any("control: its version is" in line for line in problems(credit(variants=retired, overrides={})))
    assert any("every treatment is retired" in line for line in problems(credit(variants=retired)))


def test_it_stays_retired_until_a_new_phase() -> None:
    back = edited(AFTER, KEY, variants=BEFORE.experiments[KEY].variants)
    with pytest.raises(DocumentError, match=r"variants\.a\.retired: cannot change while"):
        check_change(AFTER, back)
    check_change(AFTER, edited(back, KEY, phase=2, seed="credit-net-2"))


def test_a_release_that_does_not_know_it_does_not_run_the_experiment() -> None:
    written = write_document(AFTER)
    assert written["experiments"][KEY][REQUIRES] == ["variants.retired"]
    assert routing_data(written)["experiments"][KEY][REQUIRES] == ["variants.retired"]
    assert ("experiments", KEY, "variants", "a", "retired") in keys_beyond_base(AFTER)
    assert read_document(written)[0] == AFTER
    assert read_routing(routing_data(written))[0].experiments[KEY].variants["a"].retired
    assert REQUIRES not in write_document(BEFORE)["experiments"][KEY]


def test_what_only_analysts_need_keeps_no_router_from_running_an_experiment() -> None:
    written = write_document(credit_document(max_days=30))
    assert written["experiments"][KEY][REQUIRES] == ["max_days"]
    assert routing_data(written)["experiments"][KEY][REQUIRES] == []


def test_of_two_histories_the_one_that_retired_it_is_heard() -> None:
    lower = set_coverage(BEFORE, KEY, 10)
    for pair in ((AFTER, lower), (lower, AFTER)):
        merged = safer(*pair)[0].experiments[KEY]
        assert (merged.coverage, merged.variants["a"].retired) == (10, True)
    other = act("retire", BEFORE, KEY, variant="b")
    left = [each.retired for each in safer(AFTER, other)[0].experiments[KEY].variants.values()]
    assert left.count(True) == 1  # not the last one


def test_the_confirmation_says_who_gets_what() -> None:
    words = words_of(BEFORE, AFTER, KEY)
    assert words["takes_part"] == "80 % of users take part (control v1, a retired, b v3)."
