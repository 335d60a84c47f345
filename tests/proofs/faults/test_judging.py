"""The harness itself: what it would overlook, no fault could show."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.proofs.faults.answered import PROBLEM_TYPE, Asked, Expected, Kind, Sample
from tests.proofs.faults.answers import LIVE, TREATMENT, model_version, predict
from tests.proofs.faults.load import recovery_s
from tests.proofs.faults.station import EXPERIMENT

ROW = {"row": "1", "amount": 2.5}


def ask(expected: Expected, variant: str = "treatment", sent: float = 10.0, is_new: bool = False) -> Asked:
    user = next(user for user in map(str, range(100)) if expected.variant(user) == variant)
    return Asked("r-1", user, ROW, "digest", is_new, False, sent)


def reply(version: str = TREATMENT, variant: str | None = "treatment", **changed: Any) -> dict[str, Any]:
    return {
        "prediction": predict(version, ROW),
        "model": "credit",
        "version": version,
        "model_version": model_version(version),
        "experiment": EXPERIMENT,
        "variant": variant,
        "prediction_id": "p-1",
        "request_id": "r-1",
        "cached": False,
        **changed,
    }


def judge(expected: Expected, asked: Asked, said: Any, status: int = 200, kind: str = "") -> Sample:
    return expected.judge(asked, status, kind, orjson.dumps(said), asked.sent + 0.1)


def test_the_assigned_versions_answer_is_right_and_lives_is_degraded() -> None:
    expected = Expected(EXPERIMENT)
    assert judge(expected, ask(expected), reply()).kind is Kind.RIGHT
    fallback = reply(LIVE, fallback_from=TREATMENT, prediction_id="p-2")
    assert judge(expected, ask(expected), fallback).kind is Kind.FALLBACK


@pytest.mark.parametrize(
    "changed",
    [
        {"prediction": predict(TREATMENT, {**ROW, "row": "2"})},
        {"prediction": predict(LIVE, ROW)},
        {"request_id": "r-2"},
        {"model_version": model_version(LIVE)},
        {"variant": "control"},
        {"variant": None, "experiment": None},
        {"version": LIVE, "prediction": predict(LIVE, ROW), "model_version": model_version(LIVE)},
        {"fallback_from": LIVE},
        {"version": "v9"},
    ],
)
def test_somebody_elses_answer_is_wrong(changed: dict[str, Any]) -> None:
    expected = Expected(EXPERIMENT)
    assert judge(expected, ask(expected), reply(**changed)).kind is Kind.WRONG


def test_a_prediction_id_given_twice_and_a_cached_answer_to_a_new_row_are_wrong() -> None:
    expected = Expected(EXPERIMENT)
    assert judge(expected, ask(expected), reply()).kind is Kind.RIGHT
    assert judge(expected, ask(expected), reply()).kind is Kind.WRONG
    new = ask(expected, is_new=True)
    assert judge(expected, new, reply(prediction_id="p-2", cached=True)).kind is Kind.WRONG


def test_while_coverage_moves_a_user_may_be_outside_but_never_in_the_other_variant() -> None:
    expected = Expected(EXPERIMENT, coverage_moves=True)
    outside = reply(LIVE, None, experiment=None)
    assert judge(expected, ask(expected), outside).kind is Kind.RIGHT
    other = reply(LIVE, "control", prediction_id="p-2")
    assert judge(expected, ask(expected), other).kind is Kind.WRONG


def test_a_repeat_that_was_computed_again_is_degraded() -> None:
    expected = Expected(EXPERIMENT)
    assert judge(expected, ask(expected), reply()).kind is Kind.RIGHT
    again = ask(expected, sent=20.0)
    assert judge(expected, again, reply(prediction_id="p-2")).kind is Kind.UNCACHED
    assert judge(expected, again, reply(prediction_id="p-3", cached=True)).kind is Kind.RIGHT


def test_an_error_counts_as_told_only_as_a_problem_of_the_request() -> None:
    expected = Expected(EXPERIMENT)
    problem = {"status": 502, "detail": "no", "request_id": "r-1"}
    assert judge(expected, ask(expected), problem, 502, PROBLEM_TYPE).kind is Kind.PROBLEM
    assert judge(expected, ask(expected), problem, 502, "text/html").kind is Kind.BROKEN
    assert judge(expected, ask(expected), problem, 503, PROBLEM_TYPE).kind is Kind.BROKEN
    others = {**problem, "request_id": "r-2"}
    assert judge(expected, ask(expected), others, 502, PROBLEM_TYPE).kind is Kind.WRONG


def test_recovery_ends_with_the_last_response_that_was_not_right() -> None:
    samples = [Sample(t, t, Kind.RIGHT, is_repeat=True) for t in (1.0, 2.0, 4.0, 5.0)]
    assert recovery_s(samples, 1.5) == 0.0
    assert recovery_s([*samples, Sample(1.0, 3.0, Kind.FALLBACK)], 1.5) == 1.5
    lone = [Sample(t, t, Kind.RIGHT, is_repeat=True) for t in (3.0, 3.1, 3.2)]
    assert recovery_s([*samples, *lone, Sample(3.3, 3.3, Kind.UNCACHED, is_repeat=True)], 1.5) == 0.0
