"""The breaker's rules, on a clock that the tests turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from router.lanes.breaker import Breaker, BreakerState


def opened(now: float = 0.0, **rules: float) -> Breaker:
    breaker = Breaker(threshold=3, **({"max_cool_down_s": 60.0} | rules))
    for _ in range(3):
        assert breaker.admits(now)
        breaker.failed(now)
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_fewer_failures_in_a_row_than_the_threshold_open_nothing() -> None:
    breaker = Breaker(threshold=3)
    for _ in range(10):
        breaker.failed(0)
        breaker.failed(0)
        breaker.succeeded(0)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.admits(0)


def test_an_open_breaker_admits_nobody_until_it_has_cooled_down() -> None:
    breaker = opened(cool_down_s=0.5)
    assert not breaker.admits(0.0)
    assert not breaker.admits(0.49)
    assert breaker.is_open(0.49)
    assert not breaker.is_open(0.5)


def test_after_the_cool_down_one_trial_is_admitted_and_only_one() -> None:
    breaker = opened(cool_down_s=0.5)
    assert breaker.admits(0.5)
    assert not breaker.admits(0.5)
    assert not breaker.admits(0.9)


def test_a_trial_whose_end_nobody_told_is_followed_by_another() -> None:
    breaker = opened(cool_down_s=0.5)
    assert breaker.admits(0.5)
    assert breaker.admits(1.0)


def test_a_trial_that_succeeds_closes_a_breaker_without_gradual_return() -> None:
    breaker = opened(cool_down_s=0.5)
    assert breaker.admits(0.5)
    breaker.succeeded(0.6)
    assert breaker.state is BreakerState.CLOSED
    breaker.failed(0.7)
    assert breaker.state is BreakerState.CLOSED  # the count began anew


def test_each_failed_trial_doubles_the_pause_up_to_the_longest() -> None:
    breaker = opened(cool_down_s=1.0, max_cool_down_s=5.0)
    now = 0.0
    for pause in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert not breaker.admits(now + pause - 0.01)
        now += pause
        assert breaker.admits(now)
        breaker.failed(now)


def test_a_success_makes_the_next_pause_short_again() -> None:
    breaker = opened(cool_down_s=1.0, max_cool_down_s=60.0)
    assert breaker.admits(1.0)
    breaker.failed(1.0)
    assert breaker.admits(3.0)
    breaker.succeeded(3.0)
    for _ in range(3):
        breaker.failed(4.0)
    assert breaker.admits(5.0)


def test_a_returning_breaker_admits_a_share_that_grows_to_everyone() -> None:
    breaker = opened(cool_down_s=1.0, return_s=10.0)
    assert breaker.admits(1.0)
    breaker.succeeded(1.0)
    assert breaker.state is BreakerState.RETURNING
    assert breaker.admits(1.0, draw=0.09)
    assert not breaker.admits(1.0, draw=0.11)
    assert breaker.admits(6.0, draw=0.54)
    assert not breaker.admits(6.0, draw=0.56)
    assert breaker.admits(11.0, draw=0.99)
    assert breaker.state is BreakerState.CLOSED


def test_one_failure_ends_the_return() -> None:
    breaker = opened(cool_down_s=1.0, return_s=10.0)
    assert breaker.admits(1.0)
    breaker.succeeded(1.0)
    assert breaker.admits(2.0, draw=0.0)
    breaker.failed(2.0)
    assert breaker.state is BreakerState.OPEN
    assert not breaker.admits(2.9)


def test_failures_that_come_in_late_do_not_lengthen_the_pause() -> None:
    breaker = opened(cool_down_s=1.0, max_cool_down_s=60.0)
    for _ in range(20):
        breaker.failed(0.9)
    assert breaker.admits(1.0)


steps = st.lists(st.tuples(st.sampled_from(["fails", "succeeds"]), st.floats(0, 10), st.floats(0, 0.999)))


@given(steps)
def test_whatever_happens_a_breaker_admits_again_after_its_longest_pause(
    history: list[tuple[str, float, float]],
) -> None:
    breaker = Breaker(threshold=3, cool_down_s=0.5, max_cool_down_s=5.0, return_s=2.0)
    now = 0.0
    for what, passed, draw in history:
        now += passed
        if breaker.admits(now, draw):
            (breaker.failed if what == "fails" else breaker.succeeded)(now)
    assert breaker.admits(now + 5.0, draw=0.0)
