from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ekiben.experiments.assignment import bucket_ranges, choose_variation, hash_v2, in_namespace
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.parsing import parse_document
from ekiben.experiments.snapshot import Assignment, Plan, Snapshot
from tests.experiments.documents import credit, credit_document, variants

USERS = [f"u-{number}" for number in range(20_000)]
user_ids = st.text(min_size=1, max_size=40)


def snapshot(**experiment: Any) -> Snapshot:
    return Snapshot("lineage", 1, credit_document(**experiment))


def plan(**experiment: Any) -> Plan:
    return snapshot(**experiment).plans["credit"]


def two_in_a_namespace() -> Snapshot:
    data = credit(namespace={"name": "credit", "from": 0, "to": 40})
    data["experiments"]["credit-torch"] = {
        "model": "credit",
        "status": "running",
        "variants": variants(control=50, treatment=50),
        "namespace": {"name": "credit", "from": 40, "to": 70},
        "overrides": {"u-qa-2": "treatment"},
    }
    return Snapshot("lineage", 1, parse_document(data))


def test_a_plan_holds_what_routing_needs_in_its_units() -> None:
    compiled = plan()
    assert (compiled.name, compiled.live, compiled.timeout_s, compiled.cache_ttl_s) == (
        "credit",
        "v1",
        0.3,
        300,
    )
    assert compiled.shadow == (("v3", 1.0),)
    assert compiled.versions["v2"].endpoints == ("http://127.0.0.1:3002",)
    assert compiled.experiments == ("credit-net",)


@given(user_ids)
def test_a_user_is_assigned_as_the_specification_says(user_id: str) -> None:
    n = hash_v2("credit-net", user_id)
    index = choose_variation(n, bucket_ranges(2, 0.5, [0.8, 0.2]))
    expected = [(None, "v1"), ("control", "v1"), ("treatment", "v2")][index + 1]
    assignment = plan(coverage=50, overrides={}).assign(user_id)
    assert (assignment.variant, assignment.version) == expected
    assert assignment.bucket == round(n * 10_000)
    assert assignment.in_experiment == (index >= 0)


def test_the_split_of_twenty_thousand_users_is_within_binomial_bounds() -> None:
    share, users = 0.2, len(USERS)
    compiled = plan()
    treated = sum(compiled.assign(user).variant == "treatment" for user in USERS)
    assert abs(treated - share * users) < 4 * (users * share * (1 - share)) ** 0.5


def test_raising_coverage_moves_nobody_who_takes_part() -> None:
    plans = [plan(coverage=coverage) for coverage in (0, 1, 10, 33.3, 50, 99.9, 100)]
    for user in USERS[:3000]:
        taken = [compiled.assign(user).variant for compiled in plans]
        first = next((variant for variant in taken if variant is not None), None)
        assert taken == sorted(taken, key=lambda variant: variant is not None)
        assert set(taken) <= {None, first}
    assert plans[0].assign("u-1").variant is None
    assert plans[-1].assign("u-1").in_experiment


def test_outside_the_range_a_user_gets_live_and_the_reason() -> None:
    assert plan(coverage=0).assign("u-1") == Assignment(
        experiment="credit-net",
        variant=None,
        version="v1",
        bucket=round(hash_v2("credit-net", "u-1") * 10_000),
        reason="range",
        assigned_by=None,
        phase=1,
    )


def test_without_a_user_or_an_experiment_live_answers() -> None:
    data = credit()
    del data["experiments"]
    nobody = Assignment(None, None, "v1", None, "none", None, 0)
    assert plan().assign(None) == nobody
    assert Snapshot("lineage", 1, parse_document(data)).plans["credit"].assign("u-1") == nobody


def test_an_override_wins_over_namespace_and_range() -> None:
    compiled = plan(coverage=0, namespace={"name": "n", "from": 0, "to": 1})
    assignment = compiled.assign("u-qa-1")
    assert (assignment.variant, assignment.version) == ("treatment", "v2")
    assert (assignment.reason, assignment.assigned_by) == ("override", "override")
    assert assignment.bucket == round(hash_v2("credit-net", "u-qa-1") * 10_000)


def test_the_seed_replaces_the_key_in_the_hash() -> None:
    named, same, unnamed = plan(seed="other"), plan(seed="credit-net"), plan()
    for user in USERS[:100]:
        assert named.assign(user).bucket == round(hash_v2("other", user) * 10_000)
        assert same.assign(user) == unnamed.assign(user)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.RUNNING])
def test_an_experiment_that_does_not_run_assigns_nobody_and_explains_why(status: Status) -> None:
    assert plan(status=status).assign("u-qa-1").experiment is None
    for user in ("u-1", "u-qa-1"):
        explained = snapshot(status=status).explain("credit-net", user)
        assert (explained.variant, explained.version, explained.reason) == (None, "v1", "status")
        assert explained.bucket == round(hash_v2("credit-net", user) * 10_000)


@given(user_ids | st.sampled_from(["u-qa-1", "u-qa-2"]))
def test_a_user_is_in_at_most_one_experiment_of_a_model(user_id: str) -> None:
    both = two_in_a_namespace()
    explained = [both.explain(key, user_id) for key in ("credit-net", "credit-torch")]
    inside = [assignment for assignment in explained if assignment.in_experiment]
    served = both.plans["credit"].assign(user_id)
    assert len(inside) <= 1
    assert [served] == inside or not served.in_experiment
    assert served in explained


def test_namespaces_share_the_users_as_they_say() -> None:
    both = two_in_a_namespace().plans["credit"]
    counts: dict[str | None, int] = {"credit-net": 0, "credit-torch": 0, None: 0}
    for user in USERS:
        assignment = both.assign(user)
        counts[assignment.experiment if assignment.in_experiment else None] += 1
        if assignment.reason == "namespace":
            assert not in_namespace(user, ("credit", 0.0, 0.7))
    for key, share in (("credit-net", 0.4), ("credit-torch", 0.3), (None, 0.3)):
        assert abs(counts[key] - share * len(USERS)) < 4 * (len(USERS) * share * (1 - share)) ** 0.5


def test_who_another_experiment_overrides_is_not_in_this_one() -> None:
    both = two_in_a_namespace()
    assert both.plans["credit"].assign("u-qa-2").experiment == "credit-torch"
    explained = both.explain("credit-net", "u-qa-2")
    assert (explained.in_experiment, explained.reason) == (False, "override")


@given(user_ids)
def test_explain_says_what_assign_does(user_id: str) -> None:
    one = snapshot(coverage=50, namespace={"name": "n", "from": 0, "to": 50})
    assert one.explain("credit-net", user_id) == one.plans["credit"].assign(user_id)


def test_an_unknown_experiment_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        snapshot().explain("nothing", "u-1")


def test_every_user_id_is_assigned_whatever_its_letters() -> None:
    for user in ("é", "🍱", "客户-1", "a b\nc", "\ud83c", "x" * 256):
        assert plan().assign(user).in_experiment
