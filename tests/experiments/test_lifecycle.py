from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.document import Document
from ekiben.experiments.lifecycle import ACTIVE, TRANSITIONS, Status
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from tests.experiments.documents import credit, credit_document, variants

NET = "experiments.credit-net"
INSTEAD = (
    "raise coverage, which moves no user; or begin a new phase: raise phase and name a seed that was not "
    "used before"
)
ALLOWED = {
    ("draft", "running"),
    ("running", "paused"),
    ("running", "promoted"),
    ("running", "rolled_back"),
    ("paused", "running"),
    ("paused", "promoted"),
    ("paused", "rolled_back"),
}


def with_live(live: str, **experiment: Any) -> Document:
    data = credit(**experiment)
    data["models"]["credit"]["live"] = live
    return parse_document(data)


def in_status(status: str, **experiment: Any) -> Document:
    return with_live("v2" if status == "promoted" else "v1", status=status, **experiment)


def refusal(before: Document, after: Document) -> tuple[str, ...]:
    with pytest.raises(DocumentError) as refused:
        check_change(before, after)
    return refused.value.problems


def test_the_table_allows_the_designs_transitions_and_no_other() -> None:
    assert {(old, new) for old in TRANSITIONS for new in TRANSITIONS[old]} == ALLOWED
    assert set(TRANSITIONS) == set(Status)


@pytest.mark.parametrize(("old", "new"), list(product(Status, Status)))
def test_a_status_changes_only_as_the_table_says(old: Status, new: Status) -> None:
    before, after = in_status(old), in_status(new)
    if old == new or (old, new) in ALLOWED:
        check_change(before, after)
    else:
        (line,) = refusal(before, after)
        assert line.startswith(f"{NET}.status: cannot go from {old} to {new}: ")


def test_a_refused_transition_says_where_it_can_go() -> None:
    assert refusal(in_status("draft"), in_status("paused")) == (
        f"{NET}.status: cannot go from draft to paused: from draft it can go to running",
    )
    assert refusal(in_status("rolled_back"), in_status("running")) == (
        (
            f"{NET}.status: cannot go from rolled_back to running: rolled_back is an end; "
            "begin another experiment with its own key"
        ),
    )


def test_an_empty_store_takes_any_document() -> None:
    check_change(None, credit_document())


@pytest.mark.parametrize("status", list(Status))
def test_a_new_experiment_may_begin_in_any_status(status: Status) -> None:
    data = credit()
    del data["experiments"]
    check_change(parse_document(data), in_status(status))


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_change_of_weights_is_refused_with_what_to_do_instead(status: str) -> None:
    before = credit_document(status=status)
    after = credit_document(status=status, variants=variants(control=50, treatment=50))
    assert refusal(before, after) == tuple(
        f"{NET}.variants.{name}.weight: cannot change while the experiment is {status}: {INSTEAD}"
        for name in ("control", "treatment")
    )


def test_a_weight_cannot_slip_through_with_the_transition_that_pauses_or_resumes() -> None:
    even = variants(control=50, treatment=50)
    assert refusal(credit_document(), credit_document(status="paused", variants=even))
    assert refusal(credit_document(status="paused"), credit_document(variants=even))
    assert refusal(credit_document(), in_status("promoted", variants=even))


def test_planned_users_are_fixed_within_a_phase_and_free_with_a_new_one() -> None:
    before = credit_document()
    (line,) = refusal(before, credit_document(planned_users=20_000))
    assert line.startswith(f"{NET}.planned_users: cannot change while the experiment is running: begin a new")
    check_change(before, credit_document(planned_users=20_000, phase=2, seed="another"))
    check_change(in_status("draft"), in_status("draft", planned_users=20_000))


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("variants", {"variants": variants(control=80, treatment=10, third=10)}),
        ("variants", {"variants": variants(control=80, other=20), "overrides": {}}),
        (
            "variants.treatment.version",
            {
                "variants": {
                    "control": {"version": "v1", "weight": 80},
                    "treatment": {"version": "v3", "weight": 20},
                }
            },
        ),
        ("namespace", {"namespace": {"name": "n", "from": 0, "to": 50}}),
    ],
)
def test_what_decides_who_gets_what_is_fixed_while_it_runs(path: str, change: dict[str, Any]) -> None:
    assert refusal(credit_document(), credit_document(**change)) == (
        f"{NET}.{path}: cannot change while the experiment is running: {INSTEAD}",
    )
    check_change(credit_document(), credit_document(phase=2, seed="second", **change))
    check_change(credit_document(status="draft"), credit_document(**change))


def test_the_order_of_the_variants_is_part_of_what_is_fixed() -> None:
    before = credit_document(status="draft", variants=variants(control=50, treatment=50))
    assert list(before.experiments["credit-net"].variants) == ["control", "treatment"]
    running = credit_document(variants=variants(control=50, treatment=50))
    data = credit(variants=variants(treatment=50, control=50))
    check_change(before, parse_document(data))
    assert refusal(running, parse_document(data))[0].startswith(f"{NET}.variants: ")


def test_an_experiment_cannot_move_to_another_model_while_it_runs() -> None:
    data = credit(model="other")
    data["models"]["other"] = credit()["models"]["credit"]
    assert refusal(credit_document(), parse_document(data)) == (
        f"{NET}.model: cannot change while the experiment is running: {INSTEAD}",
    )


@pytest.mark.parametrize(
    "change",
    [
        {"coverage": 5},
        {"coverage": 0},
        {"overrides": {"u-2": "control"}},
        {"seed": "credit-net"},  # says what was meant anyway
        {"status": "paused", "coverage": 50},
    ],
)
def test_coverage_and_overrides_change_freely(change: dict[str, Any]) -> None:
    check_change(credit_document(coverage=10), credit_document(**change))


def test_a_seed_and_a_phase_change_together_or_not_at_all() -> None:
    before = credit_document(phase=2, seed="second")
    check_change(before, credit_document(phase=3, seed="third"))
    check_change(before, credit_document(phase=7, seed="third", variants=variants(control=1, treatment=99)))
    assert refusal(before, credit_document(phase=2, seed="third")) == (
        (
            f"{NET}.seed: cannot change while the experiment is running, but with a new phase: "
            "raise phase too, and the analysis begins again"
        ),
    )
    assert refusal(before, credit_document(phase=3, seed="second")) == (
        f"{NET}.seed: is still second: a new phase has a seed that was not used before, such as credit-net-3",
    )
    assert refusal(before, credit_document(phase=1, seed="first")) == (
        f"{NET}.phase: goes back from 2 to 1: a phase only rises",
    )


def test_promoted_means_that_a_treatment_has_become_live() -> None:
    assert refusal(credit_document(), with_live("v1", status="promoted")) == (
        f"{NET}.status: promoted means that a treatment has become live: set models.credit.live to v2",
    )
    check_change(credit_document(), with_live("v2", status="promoted"))


def test_an_experiment_is_removed_only_when_nobody_is_in_it() -> None:
    data = credit()
    del data["experiments"]
    without = parse_document(data)
    for status in Status:
        if status in ACTIVE:
            assert refusal(in_status(status), without) == (
                f"{NET}: is {status}: set its status to rolled_back before you remove it",
            )
        else:
            check_change(in_status(status), without)
