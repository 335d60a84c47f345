"""The proof in small: fewer experiments, seeded, with room for chance. `make stats-proof` is the whole."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.proofs.statistics import scenarios
from tests.proofs.statistics.agreement import differences
from tests.proofs.statistics.claims import CLOSE, FEWER_USERS, least, most
from tests.proofs.statistics.differing import look_where_differing, plans
from tests.proofs.statistics.ending import look_at_ends
from tests.proofs.statistics.joint import POWER, Guarded, look_at_joint
from tests.proofs.statistics.page import PAGE
from tests.proofs.statistics.peeking import ALPHA, Scenario, peek
from tests.proofs.statistics.populations import NORMAL, PROPORTION, PURCHASES, RATIO, Population
from tests.proofs.statistics.promoting import look_at_promotions
from tests.proofs.statistics.segments import look_at_segments
from tests.proofs.statistics.watching import look_at_watched
from tests.proofs.statistics.worlds import TABLES

FEW = 120


@pytest.mark.parametrize("population", [NORMAL, PROPORTION, PURCHASES, RATIO], ids=lambda each: each.name)
def test_peeking_at_no_difference_errs_no_more_than_promised(population: Population) -> None:
    seen = peek(Scenario(population, 5000, experiments=FEW, looks=25), (1, 2))
    assert seen.sequential[-1] / FEW <= most(ALPHA, FEW)
    assert seen.srm <= 1
    assert seen.naive[-1] > 2 * seen.sequential[-1] + FEW / 20


def test_a_few_rare_users_on_one_side_are_no_false_alarm() -> None:
    scenario = scenarios.no_difference()["A/A error rate, 0.5 % 95/5"]
    seen = peek(replace(scenario, experiments=FEW, looks=40), (1, 3))
    assert seen.sequential[-1] / FEW <= most(ALPHA, FEW) < seen.unsteadied / FEW


@pytest.mark.parametrize("population", [PROPORTION, RATIO], ids=lambda each: each.name)
def test_the_planned_sample_finds_the_planned_effect_and_the_intervals_hold_it(
    population: Population,
) -> None:
    users = scenarios.plan(population, 0.5).users
    seen = peek(Scenario(population, users, size=population.planned, experiments=FEW, looks=25), (1, 4))
    assert seen.better / FEW >= least(scenarios.POWER, FEW) - 0.02  # a quarter of the planned looks
    assert 1 - seen.missed / FEW >= least(1 - ALPHA, FEW)
    assert 1 - seen.relative_missed / FEW >= least(1 - ALPHA, FEW)


def test_a_split_that_is_not_what_was_asked_is_called_a_mismatch() -> None:
    seen = peek(Scenario(NORMAL, 20_000, 0.45, asked=0.5, experiments=20, looks=20), (1, 5))
    assert seen.srm == 20


def test_of_many_watched_metrics_none_is_called_by_chance_alone() -> None:
    seen = look_at_watched(1, experiments=FEW)
    assert seen.called / FEW <= most(ALPHA, FEW) < seen.uncorrected / FEW


def test_no_segment_is_called_and_no_effect_is_said_to_fade_by_chance_alone() -> None:
    seen = look_at_segments(1, experiments=FEW)
    assert seen.called / FEW <= most(ALPHA, FEW) < seen.uncorrected / FEW
    assert seen.fading / FEW <= most(ALPHA, FEW) < seen.found / FEW


def test_an_experiment_without_an_effect_that_matters_ends() -> None:
    for seen in look_at_ends(1, experiments=FEW):
        assert all(count / FEW >= least(level, FEW) for _, count, level in seen.claimed)
        assert seen.wrong / FEW <= most(ALPHA, FEW)


def test_guardrails_that_hold_at_their_own_alpha_let_more_be_promoted_and_no_harm() -> None:
    seen, _ = look_at_promotions(1, experiments=FEW)
    assert seen.promoted[1] > seen.divided[1]
    assert seen.wrong / FEW <= most(ALPHA, FEW)


def test_the_plan_for_all_guardrails_is_promoted_as_often_as_it_says() -> None:
    world = Guarded("5 guardrails", 1.5, (1.4,) * 5)
    (promoted,) = look_at_joint(1, FEW, [world]).promoted.values()
    assert promoted >= least(POWER, FEW)
    assert world.plan.size.users < 2 * world.plan.alone["deciding"].users


def test_comparing_where_versions_differ_needs_few_users_and_is_right_with_answers_missing() -> None:
    seen = look_where_differing(1, experiments=20, looks=25)
    where, ordinary = plans()
    assert where.users <= ordinary.users * FEWER_USERS
    assert seen.found / 20 >= least(scenarios.POWER, 20)
    assert seen.found_ordinarily <= 8
    assert max(seen.missed.values()) / 20 <= most(ALPHA, 20)


def test_numbers_agree_with_scipy_scikit_learn_and_tea_tasting() -> None:
    assert {ours: largest for ours, _, largest in differences(1) if not largest <= CLOSE} == {}


def test_the_page_holds_a_whole_run_of_the_proof() -> None:
    tables = dict(re.findall(r"<!-- table: ([a-z-]+) -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL))
    assert tables.keys() == {
        "run", "false-alarms", "srm", "power", "coverage", "guardrails", "watched", "segments", "ends",
        "promotions", "joint-power", "differing", "labels", "bots", "doubtful", "adjusted", "breaking",
        "agreement", *TABLES
    }  # fmt: skip
    assert all(tables.values())
    assert f"≤ {100 * most(ALPHA, 1000):.1f} %" in tables["false-alarms"]
