"""The judge itself: what it would overlook, no kill could show."""

from __future__ import annotations

from tests.proofs.kills.judging import Outage, judge
from tests.proofs.kills.killing import TARGETS, draw
from tests.proofs.kills.load import Noted


def noted(**changed: object) -> Noted:
    fields = {"served": {"p-1": 10.0, "p-2": 20.0}, "accepted": {1, 2}, "unsure": {3}}
    return Noted(**(fields | changed))  # type: ignore[arg-type]


def test_everything_once_is_as_promised_whatever_became_of_what_nobody_promised() -> None:
    for outcomes in ([1, 2], [1, 2, 3]):
        verdict = judge(noted(), outcomes, ["p-1", "p-2", "p-of-an-error"], [], [])
        assert verdict.broken == ()
        assert (verdict.counted_once, verdict.recorded) == (2, 2)


def test_an_accepted_outcome_that_is_not_counted_is_a_broken_promise() -> None:
    verdict = judge(noted(), [1], ["p-1", "p-2"], [], [])
    assert verdict.broken == ("1 outcomes that were answered with 202 are not counted",)


def test_an_outcome_that_is_counted_twice_is_a_broken_promise_accepted_or_not() -> None:
    for outcomes in ([1, 1, 2], [1, 2, 3, 3]):
        assert judge(noted(), outcomes, ["p-1", "p-2"], [], []).broken == (
            "1 outcomes are counted more than once",
        )


def test_an_outcome_that_nobody_sent_is_a_broken_promise() -> None:
    assert judge(noted(), [1, 2, 9], ["p-1", "p-2"], [], []).broken == (
        "1 outcomes are counted that nobody sent",
    )


def test_an_exposure_twice_is_a_broken_promise() -> None:
    assert judge(noted(), [1, 2], ["p-1", "p-2", "p-2"], [], []).broken == (
        "1 exposures are recorded more than once",
    )


def test_an_exposure_may_be_lost_only_right_before_a_worker_is_killed() -> None:
    verdict = judge(noted(), [1, 2], ["p-1"], [20.1], [])
    assert (verdict.broken, verdict.lost_unsent) == ((), 1)
    verdict = judge(noted(), [1, 2], ["p-1"], [22.0], [])
    assert verdict.broken == ("1 exposures are lost, and no killed worker had them",)


def test_or_while_it_waited_in_that_worker_for_redis() -> None:
    verdict = judge(noted(), [1, 2], ["p-1"], [22.0], [Outage(19.9, 21.5)])
    assert (verdict.broken, verdict.lost_waiting) == ((), 1)
    assert judge(noted(), [1, 2], ["p-1"], [24.0], [Outage(19.9, 21.5)]).lost_unexplained == 1
    again = [Outage(19.9, 21.5), Outage(22.0, 23.5)]
    assert judge(noted(), [1, 2], ["p-1"], [24.0], again).lost_waiting == 1


def test_the_same_seed_kills_the_same_at_the_same_moments_and_each_kind_about_as_often() -> None:
    assert draw(60, 5) == draw(60, 5) != draw(60, 6)
    kinds = [kill.victims for kill in draw(60, 5)]
    assert {kinds.count(kind) for kind in TARGETS} == {7, 8}
