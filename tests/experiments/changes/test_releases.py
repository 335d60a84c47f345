"""Documents of other releases: kept, and not run where this release lacks what they need."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ekiben.experiments.changes.phases import ran_by
from ekiben.experiments.changes.releases import (
    BASE,
    keys_beyond_base,
    read_document,
    read_routing,
    routing_data,
    write_document,
)
from ekiben.experiments.changes.verbs import act
from ekiben.experiments.document import Experiment
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.problems import DocumentError
from tests.router.documents import EXPERIMENT, credit, credit_document

METRICS = [{"name": "profit", "outcome": "profit", "kind": "mean", "weight": 3}]


def newer() -> dict[str, Any]:
    """A document with fields everywhere that this release does not know."""
    data: dict[str, Any] = copy.deepcopy(credit(experiment={"metrics": METRICS}))
    data["installation"] = {"name": "here"}
    data["models"]["credit"]["watch"] = {"psi": 0.1}
    data["models"]["credit"]["versions"]["v1"]["warm_up"] = {"rows": 3}
    data["experiments"][EXPERIMENT]["weather"] = ["rain"]
    data["experiments"][EXPERIMENT]["variants"]["control"]["colour"] = "red"
    return data


def test_fields_of_a_newer_release_are_kept_through_a_verb() -> None:
    document, kept = read_document(newer())
    assert kept.not_run == {}
    paused = write_document(act("pause", document, EXPERIMENT), kept)
    expected = newer()
    expected["experiments"][EXPERIMENT]["status"] = "paused"
    assert paused == expected


def test_what_was_removed_takes_its_unknown_fields_along() -> None:
    _, kept = read_document(newer())
    written = write_document(parse_document({"models": credit()["models"]}), kept)
    assert "experiments" not in written
    assert written["models"]["credit"]["watch"] == {"psi": 0.1}


def test_an_experiment_that_requires_more_is_kept_and_not_run() -> None:
    data = newer()
    data["experiments"][EXPERIMENT] |= {"requires": ["where"], "where": {"country": "de"}}
    document, kept = read_document(data)
    assert document.experiments == {}
    assert "where" in kept.not_run[EXPERIMENT]
    assert write_document(document, kept) == data


def test_an_experiment_that_requires_what_is_known_is_run() -> None:
    data = newer()
    data["experiments"][EXPERIMENT]["requires"] = ["ramp"]
    document, kept = read_document(data)
    assert list(document.experiments) == [EXPERIMENT]
    assert kept.not_run == {}


def test_an_experiment_that_cannot_be_read_is_kept_and_not_run() -> None:
    data = newer()
    data["experiments"][EXPERIMENT]["status"] = "retired"
    document, kept = read_document(data)
    assert document.experiments == {}
    assert "cannot read" in kept.not_run[EXPERIMENT]
    assert write_document(document, kept) == data


@pytest.mark.parametrize(
    "unread", [None, 3, "x", [], {"requires": 3}, {"requires": [1]}, {"requires": "ramp"}]
)
def test_what_is_no_experiment_at_all_is_kept_and_not_run_beside_the_others(unread: Any) -> None:
    data = newer()
    held = data["experiments"][EXPERIMENT]
    data["experiments"]["odd"] = held | unread if isinstance(unread, dict) else unread
    document, kept = read_document(data)
    assert list(document.experiments) == [EXPERIMENT]
    assert kept.not_run == {"odd": "this release cannot read it"}
    assert write_document(document, kept) == data
    routed, told = read_routing(data)
    assert (list(routed.experiments), list(told.not_run)) == ([EXPERIMENT], ["odd"])
    assert EXPERIMENT in read_routing(routing_data(data))[0].experiments
    assert ran_by(data)[EXPERIMENT] == 1


@pytest.mark.parametrize("data", [None, [], {}, {"models": {}}, {"models": {"credit": {"live": 1}}}])
def test_what_is_no_document_is_refused(data: object) -> None:
    with pytest.raises(DocumentError):
        read_document(data)


def test_files_that_people_write_stay_strict() -> None:
    with pytest.raises(DocumentError, match="weather"):
        parse_document({**credit(), "experiments": newer()["experiments"]})


def test_every_field_of_this_release_beyond_the_base_is_required_by_what_uses_it() -> None:
    document = credit_document()
    assert set(type(document.experiments[EXPERIMENT]).model_fields) >= BASE[Experiment]
    assert "requires" not in write_document(document)["experiments"][EXPERIMENT]


def test_what_30e8d9b_does_not_know_is_named_by_its_path() -> None:
    assert keys_beyond_base(credit_document()) == frozenset()
    capture = {"per_second": 5, "without": ["income"]}
    found = keys_beyond_base(credit_document(capture=capture))
    assert found == {("models", "credit", "capture")}
    mood = {"name": "mood", "outcome": "mood", "kind": "label", "classes": ["bad", "good"]}
    found = keys_beyond_base(credit_document(experiment={"metrics": [mood]}))
    assert found == {("experiments", EXPERIMENT, "metrics", "mood", "classes")}


def test_the_routing_document_says_who_gets_what_and_no_more() -> None:
    document = parse_document(credit(experiment={"metrics": METRICS[:0], "min_users": 7}))
    routing, _ = read_routing(routing_data(write_document(document)))
    assert routing.models == document.models
    full = document.experiments[EXPERIMENT]
    assert routing.experiments[EXPERIMENT] == full.model_copy(update={"min_users": 500})
    ended = act("roll-back", document, EXPERIMENT)
    less, _ = read_routing(routing_data(write_document(ended)))
    assert less.experiments[EXPERIMENT].overrides == {}
    assert less.experiments[EXPERIMENT].status == "rolled_back"


def test_a_router_need_not_know_what_only_analysts_do() -> None:
    fields = {"planned_users": 20_000, "segments": ["country"]}
    written = write_document(parse_document(credit(experiment=fields)))
    assert written["experiments"][EXPERIMENT]["requires"] == ["planned_users", "segments"]
    routed = routing_data(written)["experiments"][EXPERIMENT]
    assert not fields.keys() & {*routed, *routed["requires"]}


def test_a_router_runs_what_it_knows_of_a_newer_routing_document() -> None:
    data = newer()
    held = data["experiments"][EXPERIMENT]
    data["experiments"] = {
        "known": held,
        "lacking": held | {"requires": ["where"], "where": {}},
        "unread": held | {"status": "retired"},
    }
    document, kept = read_routing(routing_data(data))
    assert list(document.experiments) == ["known"]
    assert set(kept.not_run) == {"lacking", "unread"}
    with pytest.raises(DocumentError):
        read_routing({"models": {"credit": {"live": 1}}})
