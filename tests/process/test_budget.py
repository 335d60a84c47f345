"""The budget of bytes that many holders share."""

from __future__ import annotations

from ekiben.process.budget import ByteBudget


def test_what_would_pass_the_limit_is_not_taken_and_takes_nothing() -> None:
    budget = ByteBudget(100)
    assert budget.take(60)
    assert not budget.take(41)
    assert budget.held == 60
    assert budget.take(40)


def test_what_is_given_back_can_be_taken_again() -> None:
    budget = ByteBudget(100)
    assert budget.take(100)
    budget.give(70)
    assert budget.take(70)


def test_a_holder_that_leaves_something_to_spare_stops_before_the_limit() -> None:
    budget = ByteBudget(100)
    assert not budget.take(51, spare=50)
    assert budget.take(50, spare=50)
    assert not budget.take(1, spare=50)
    assert budget.take(50)


def test_the_high_water_mark_stays() -> None:
    budget = ByteBudget(100)
    budget.take(80)
    budget.give(80)
    budget.take(10)
    assert (budget.held, budget.most) == (10, 80)
