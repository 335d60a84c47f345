"""From the text applied last to a new one: what verbs did stays, what the text changes is applied."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ekiben.experiments.changes import edits
from ekiben.experiments.changes.allowed import check_change
from ekiben.experiments.changes.three_way import apply_text
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from tests.router.documents import EXPERIMENT, credit

LAST = parse_document(credit(experiment={"coverage": 10}))


def edited(**experiment: Any) -> Any:
    return parse_document(credit(experiment={"coverage": 10, **experiment}))


def test_a_text_that_says_the_same_changes_nothing_whatever_was_done() -> None:
    for held in (
        act("pause", LAST, EXPERIMENT),
        act("promote", LAST, EXPERIMENT),
        edits.set_coverage(LAST, EXPERIMENT, 50),
    ):
        assert apply_text(LAST, edited(), held) == held


def test_what_the_text_changes_is_applied_beside_what_a_verb_did() -> None:
    held = act("pause", LAST, EXPERIMENT)
    merged = apply_text(LAST, edited(coverage=20), held)
    assert (merged.experiments[EXPERIMENT].coverage, merged.experiments[EXPERIMENT].status) == (20, "paused")


def test_a_value_that_both_changed_is_refused_with_both() -> None:
    held = edits.set_coverage(LAST, EXPERIMENT, 50)
    with pytest.raises(
        DocumentError, match=r"coverage: the file goes from 10 to 20, .* become 50"
    ) as refused:
        apply_text(LAST, edited(coverage=20), held)
    assert refused.value.places == (("experiments", EXPERIMENT, "coverage"),)


def test_a_value_that_both_changed_to_the_same_is_no_conflict() -> None:
    held = edits.set_coverage(LAST, EXPERIMENT, 50)
    assert apply_text(LAST, edited(coverage=50), held) == held


def test_writing_a_default_down_changes_nothing() -> None:
    last = parse_document(credit())
    held = edits.set_coverage(last, EXPERIMENT, 50)
    assert apply_text(last, parse_document(credit(experiment={"coverage": 100, "min_days": 7})), held) == held


def test_deleting_the_block_of_a_promoted_experiment_leaves_live_as_it_is() -> None:
    held = act("promote", LAST, EXPERIMENT)
    merged = apply_text(LAST, parse_document({"models": credit()["models"]}), held)
    assert merged.experiments == {}
    assert merged.models["credit"].live == "v2"


def test_saying_promoted_in_the_text_does_not_take_live_back() -> None:
    held = act("promote", LAST, EXPERIMENT)
    merged = apply_text(LAST, edited(status="promoted"), held)
    assert merged == held
    check_change(held, merged)


def test_deleting_the_block_of_a_running_experiment_is_the_rules_to_refuse() -> None:
    held = edits.set_coverage(LAST, EXPERIMENT, 50)
    merged = apply_text(LAST, parse_document({"models": credit()["models"]}), held)
    with pytest.raises(DocumentError, match="rolled_back before you remove it"):
        check_change(held, merged)


def test_what_a_verb_added_stays() -> None:
    held = edits.shadow(LAST, "credit", "v3", 10)
    wanted = credit(experiment={"coverage": 10})
    wanted["models"]["credit"]["timeout_ms"] = 400
    merged = apply_text(LAST, parse_document(wanted), held)
    assert (merged.models["credit"].shadow, merged.models["credit"].timeout_ms) == ({"v3": 10}, 400)


def test_variants_in_another_order_are_another_value() -> None:
    data = credit(experiment={"coverage": 10, "status": "draft"})
    last = parse_document(data)
    turned = copy.deepcopy(data)
    variants = turned["experiments"][EXPERIMENT]["variants"]
    turned["experiments"][EXPERIMENT]["variants"] = dict(reversed(variants.items()))
    merged = apply_text(last, parse_document(turned), last)
    assert list(merged.experiments[EXPERIMENT].variants) == ["treatment", "control"]


def test_an_experiment_that_is_gone_meanwhile_is_not_put_back_by_an_edit_of_it() -> None:
    gone = parse_document({"models": credit()["models"]})
    assert apply_text(LAST, edited(), gone) == gone
    with pytest.raises(DocumentError, match="it has become nothing"):
        apply_text(LAST, edited(coverage=20), gone)
