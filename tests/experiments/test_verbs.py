"""What can be done with an experiment, and what each verb makes of the document."""

from __future__ import annotations

from typing import Any

import pytest

from ekiben.experiments.changes import edits
from ekiben.experiments.changes.differences import differences, lines_about
from ekiben.experiments.changes.fields import read_texts, write_texts
from ekiben.experiments.changes.verbs import VERBS, act
from ekiben.experiments.document import Document, Ramp
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError

KEY = "credit-boosting"
MOVES = ("start", "pause", "resume", "promote", "roll-back")


def credit(status: str = "running", live: str = "v1", **experiment: Any) -> Document:
    return parse_document(
        {
            "models": {
                "credit": {
                    "live": live,
                    "versions": {name: {"endpoints": [f"http://{name}:1"]} for name in ("v1", "v2", "v3")},
                    "shadow": {"v2": 50, "v3": 100},
                }
            },
            "experiments": {
                KEY: {
                    "model": "credit",
                    "status": status,
                    "variants": {
                        "control": {"version": "v1", "weight": 50},
                        "treatment": {"version": "v2", "weight": 50},
                    },
                    "overrides": {"u-qa": "treatment"},
                }
                | experiment
            },
        }
    )


POSSIBLE = {
    ("start", "draft"): "running",
    ("pause", "running"): "paused",
    ("resume", "paused"): "running",
    ("promote", "running"): "promoted",
    ("promote", "paused"): "promoted",
    ("roll-back", "running"): "rolled_back",
    ("roll-back", "paused"): "rolled_back",
}


@pytest.mark.parametrize(("verb", "status"), POSSIBLE)
def test_a_verb_leads_from_one_status_to_another(verb: str, status: str) -> None:
    assert act(verb, credit(status), KEY).experiments[KEY].status == POSSIBLE[verb, status]


@pytest.mark.parametrize("verb", MOVES)
@pytest.mark.parametrize("status", Status)
def test_what_is_not_possible_is_refused_with_what_is(verb: str, status: Status) -> None:
    document, said = credit(status), str(status).replace("_", " ")
    if (verb, str(status)) in POSSIBLE:
        return
    with pytest.raises(DocumentError, match=f"credit-boosting: is {said}, so you cannot use {verb} on it: "):
        act(verb, document, KEY)


def test_promotion_makes_the_treatment_live_and_shadows_it_no_longer_in_one_change() -> None:
    after = act("promote", credit(), KEY)
    assert after.models["credit"].live == "v2"
    assert after.models["credit"].shadow == {"v3": 100}
    assert differences(credit(), after) == (
        "models.credit.live: v1 → v2",
        "models.credit.shadow.v2: removed 50",
        "experiments.credit-boosting.status: running → promoted",
    )


def test_of_several_treatments_one_has_to_be_named() -> None:
    variants = {
        "control": {"version": "v1", "weight": 50},
        "one": {"version": "v2", "weight": 25},
        "two": {"version": "v3", "weight": 25},
    }
    document = credit(variants=variants, overrides={})
    with pytest.raises(DocumentError, match="has 2 treatments: name one of one, two"):
        act("promote", document, KEY)
    assert act("promote", document, KEY, variant="two").models["credit"].live == "v3"
    with pytest.raises(DocumentError, match="control is the control: to end with it, roll back"):
        act("promote", document, KEY, variant="control")
    with pytest.raises(DocumentError, match='there is no treatment "tow"; did you mean two'):
        act("promote", document, KEY, variant="tow")


def test_promotion_is_refused_while_another_experiment_runs_against_the_old_live_version() -> None:
    shared = credit(namespace={"name": "credit", "from": 0, "to": 50})
    other = shared.experiments[KEY].model_copy(update={"overrides": {}})
    data = shared.model_copy(update={"experiments": {KEY: shared.experiments[KEY], "other": other}})
    dumped = data.model_dump(mode="json", by_alias=True)
    dumped["experiments"]["other"]["namespace"] = {"name": "credit", "from": 50, "to": 100}
    both = parse_document(dumped)
    with pytest.raises(DocumentError, match=r"End other first .`ekiben roll-back other`., then promote"):
        act("promote", both, KEY)
    ended = act("roll-back", both, "other")
    assert act("promote", ended, KEY).models["credit"].live == "v2"


def test_an_experiment_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(DocumentError, match='there is no experiment "credit-bosting"; did you mean'):
        act("pause", credit(), "credit-bosting")


def test_an_experiment_with_a_ramp_starts_at_its_first_step() -> None:
    document = credit("draft", ramp={"steps": [2, 10]})
    assert act("start", document, KEY).experiments[KEY].coverage == 2
    assert act("start", credit("draft"), KEY).experiments[KEY].coverage == 100


def test_a_ramp_can_be_set_until_the_experiment_has_ended() -> None:
    ramp = Ramp(steps=(10, 100), every="30m")
    for status in ("draft", "running", "paused"):
        document = credit(status)
        assert act("ramp", document, KEY, **ramp.model_dump()).experiments[KEY].ramp == ramp
    with pytest.raises(DocumentError, match="is rolled back, so you cannot use ramp on it: that is an end"):
        act("ramp", credit("rolled_back"), KEY, steps=[10])


def test_a_ramp_that_makes_no_sense_is_refused_as_in_the_file() -> None:
    with pytest.raises(DocumentError, match=r"ramp\.steps: each step must be larger"):
        act("ramp", credit(), KEY, steps=[10, 5])
    with pytest.raises(DocumentError, match="coverage: must be at least 0 and at most 100"):
        edits.set_coverage(credit(), KEY, 101)
    with pytest.raises(DocumentError, match="has no ramp"):
        act("ramp", credit(), KEY, off=True)


def test_acknowledging_adds_what_was_not_acknowledged() -> None:
    once = act("acknowledge", credit(), KEY, model_versions=["credit_v2:b", "credit_v2:b"])
    twice = act("acknowledge", once, KEY, model_versions=["credit_v2:b", "credit_v2:c"])
    assert twice.experiments[KEY].acknowledged_model_versions == ("credit_v2:b", "credit_v2:c")
    with pytest.raises(DocumentError, match="has no redeployment that is not acknowledged"):
        act("acknowledge", twice, KEY, model_versions=["credit_v2:b"])


def test_a_forgotten_user_is_overridden_nowhere() -> None:
    assert edits.forget_user(credit(), "u-qa").experiments[KEY].overrides == {}
    assert edits.forget_user(credit(), "u-other") == credit()


def test_a_difference_names_the_path_and_both_values_also_where_one_was_a_default() -> None:
    assert differences(credit(), edits.set_coverage(credit(), KEY, 12.5)) == (
        "experiments.credit-boosting.coverage: 100 → 12.5",
    )


def test_what_is_added_and_removed_is_told_with_what_it_holds() -> None:
    before = credit("draft")
    after = before.model_copy(update={"experiments": {}})
    (line,) = differences(before, after)
    assert line.startswith("experiments.credit-boosting: removed {model: credit, variants:")
    (line,) = differences(after, before)
    assert line.startswith("experiments.credit-boosting: added {model: credit, variants:")
    assert [line.split(":")[0] for line in differences(None, before)] == [
        "models.credit",
        "experiments.credit-boosting",
    ]


def test_metrics_are_compared_by_their_names_and_their_order_counts() -> None:
    profit = {"name": "profit", "outcome": "profit", "kind": "mean"}
    paid = {"name": "paid", "outcome": "paid", "kind": "proportion"}
    before = credit(metrics=[profit, paid])
    assert differences(before, credit(metrics=[profit | {"window_hours": 48.0}, paid])) == (
        "experiments.credit-boosting.metrics.profit.window_hours: 24 → 48",
    )
    assert differences(before, credit(metrics=[paid, profit])) == (
        "experiments.credit-boosting.metrics: in the order profit, paid → paid, profit",
    )


def test_a_ramp_that_appears_is_one_line() -> None:
    after = act("ramp", credit(), KEY, **Ramp(steps=(10, 100), every="30m").model_dump())
    (line,) = differences(credit(), after)
    ramp = "{steps: [10, 100], every: 30m, min_users_per_step: 500, begin: at_once, then: wait}"
    assert line == f"experiments.credit-boosting.ramp: nothing → {ramp}"


def test_no_guardrails_and_all_guardrails_are_told_apart() -> None:
    ramped = act("ramp", credit(), KEY, steps=[10, 100])
    bare = act("ramp", ramped, KEY, guardrails=[])
    assert differences(ramped, bare) == ("experiments.credit-boosting.ramp.guardrails: nothing → []",)
    (line,) = differences(credit(), bare)
    assert "guardrails: []" in line


@pytest.mark.parametrize("guardrails", [[], None, ["error_rate"]])
def test_what_a_form_held_is_read_back_as_it_is_and_what_was_typed_as_it_was_typed(
    guardrails: list[str] | None,
) -> None:
    steps = (0.00001, 12.3456789, 50.0)
    ramp = Ramp(steps=steps, guardrails=None if guardrails is None else tuple(guardrails))
    held = ramp.model_dump()
    texts = dict.fromkeys(held, "") | write_texts(held)
    assert texts["steps"] == "1e-05, 12.3456789, 50"
    body = read_texts(VERBS["ramp"].body, texts, held)
    assert VERBS["ramp"].act(credit(), KEY, body).experiments[KEY].ramp == ramp
    typed = read_texts(VERBS["ramp"].body, texts | {"steps": "12.3456789, 60"}, held)
    after = VERBS["ramp"].act(credit(), KEY, typed).experiments[KEY].ramp
    assert after == ramp.model_copy(update={"steps": (12.3456789, 60)})


def test_the_lines_about_an_experiment_are_its_own() -> None:
    lines = ("experiments.a.coverage: 1 → 2", "experiments.ab.coverage: 1 → 2", "experiments.a: removed {}")
    assert lines_about(lines, "a") == (lines[0], lines[2])
