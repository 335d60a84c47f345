from __future__ import annotations

import pytest

from ekiben.experiments.statistics.joint_size import Condition, joint_size
from ekiben.experiments.statistics.sample_size import Spread, proportion, sample_size

HALVES = (50.0, 50.0)
EFFECT = Condition("profit", 1.5, Spread(15), 0.05)


def guardrail(name: str, margin: float = 1.4) -> Condition:
    return Condition(name, margin, Spread(15), 0.1)


def test_without_guardrails_it_is_the_size_of_the_deciding_metric() -> None:
    joint = joint_size([EFFECT], HALVES)
    alone = sample_size(1.5, Spread(15), HALVES, alpha=0.05, planned_users=None)
    assert joint.size.users == pytest.approx(alone.users, rel=1e-3)
    assert joint.bottleneck == "profit"


def test_a_guardrail_that_needs_far_more_is_the_bottleneck_and_nearly_all_that_counts() -> None:
    rate = Condition("approvals", 0.004, proportion(0.02), 0.1)
    joint = joint_size([EFFECT, rate], HALVES)
    assert joint.bottleneck == "approvals"
    assert joint.alone["approvals"].users <= joint.size.users < 1.01 * joint.alone["approvals"].users
    assert joint.alone["profit"].users < joint.size.users / 5


def test_each_equally_hard_guardrail_needs_more_users() -> None:
    sizes = [
        joint_size([EFFECT, *(guardrail(f"g{number}") for number in range(count))], HALVES).size.users
        for count in (0, 1, 3, 5)
    ]
    assert sizes == sorted(sizes)
    assert 1.2 < sizes[1] / sizes[0] < 1.4
    assert sizes[3] / sizes[0] < 2


def test_several_treatments_and_unequal_weights_need_more_users_in_all() -> None:
    conditions = [EFFECT, guardrail("kept")]
    known = joint_size(conditions, HALVES).size.users
    assert known < joint_size(conditions, (80, 20)).size.users
    assert known < joint_size(conditions, (50, 25, 25)).size.users


def test_planned_users_that_are_fixed_far_away_cost_users() -> None:
    rate = Condition("approvals", 0.001, proportion(0.02), 0.1)
    tuned, fixed = (joint_size([EFFECT, rate], HALVES, planned_users=each).size for each in (None, 5000))
    assert 1.1 < fixed.users / tuned.users < 1.5


def test_a_share_that_was_never_seen_has_a_size_all_the_same() -> None:
    joint = joint_size([EFFECT, Condition("fallback_rate", 0.02, Spread(0.0, share=True), 0.1)], HALVES)
    assert 0 < joint.alone["fallback_rate"].users < 1000
