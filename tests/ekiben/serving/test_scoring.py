"""One row that the model fails on costs that row its answer, and nobody else."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ekiben.serving.models.model import Row
from ekiben.serving.output import Output
from ekiben.serving.scoring import NOT_TRIED, Scorer
from tests.ekiben.serving.conftest import OneField


class Raises:
    """A model that raises on a batch with a poisoned row, as numpy and ONNX do, and counts its calls."""

    inputs = ("value",)
    runtime = "tests"

    def __init__(self) -> None:
        self.calls = 0

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.calls += 1
        if any(row["value"] < 0 for row in rows):
            raise ValueError("not this one")
        return np.array([row["value"] for row in rows], dtype=np.float64)


def scorer(model: Any, answers: Any = None) -> Scorer:
    def simple(scores: NDArray[np.float64]) -> list[dict[str, Any]]:
        return [{"value": score} for score in scores.tolist()]

    return Scorer(model, Output(OneField, answers or simple, "value"))


def rows(size: int, poisoned: Sequence[int]) -> list[dict[str, Any]]:
    return [{"value": -1 if number in poisoned else number} for number in range(size)]


@pytest.mark.parametrize(
    ("size", "poisoned"),
    [(1, [0]), (2, [1]), (3, [0]), (64, [13]), (256, [0]), (256, [255]), (256, [3, 90, 200]), (5, range(5))],
)
def test_of_a_batch_that_the_model_raises_on_only_the_guilty_rows_have_no_answer(
    size: int, poisoned: Sequence[int]
) -> None:
    answers = scorer(Raises()).answer(rows(size, poisoned))
    assert answers == [None if n in poisoned else {"value": float(n)} for n in range(size)]


def test_one_guilty_row_of_256_costs_at_most_16_further_calls() -> None:
    for guilty in range(256):
        model = Raises()
        scorer(model).answer(rows(256, [guilty]))
        assert model.calls <= 1 + 16


def test_the_last_good_row_among_many_guilty_ones_has_its_answer() -> None:
    for good in range(64):
        answers = scorer(Raises()).answer(rows(64, [n for n in range(64) if n % 2 and n != good]))
        assert answers[good] == {"value": float(good)}


def test_rows_that_a_slow_model_had_no_time_for_beside_a_guilty_one_are_told_apart_from_it() -> None:
    class Slow(Raises):
        def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
            time.sleep(0.03)
            return super().scores(rows)

    answers = scorer(Slow()).answer(rows(64, [13]))
    assert NOT_TRIED in answers
    assert None not in answers[:13] + answers[14:]


def test_a_model_that_raises_on_everything_is_left_after_18_further_calls() -> None:
    model = Raises()
    assert scorer(model).answer(rows(256, range(256))) == [None] * 256
    assert model.calls == 1 + 18


def poison(value: Any) -> Any:
    def answers(scores: NDArray[np.float64]) -> list[dict[str, Any]]:
        return [{"value": score, "why": value if score == 1 else ["fine"]} for score in scores.tolist()]

    return answers


class Looped(list[Any]):
    """A list that holds itself."""

    def __init__(self) -> None:
        self.append(self)


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.inf], {"a": [-math.inf]}, np.float64(1), object(), {1: 2}, "\ud800", 1 << 70, Looped()],
    ids=lambda value: repr(value).split(" at ")[0],
)
def test_an_answer_that_is_not_finite_or_no_json_is_none_and_its_neighbours_stand(value: Any) -> None:
    before, bad, after = scorer(Raises(), poison(value)).answer(rows(3, []))
    assert (before, bad, after) == (
        {"value": 0.0, "why": ["fine"]},
        None,
        {"value": 2.0, "why": ["fine"]},
    )


def test_an_answer_may_hold_null() -> None:
    assert scorer(Raises(), poison(None)).answer(rows(2, [])) == [
        {"value": 0.0, "why": ["fine"]},
        {"value": 1.0, "why": None},
    ]


def test_a_score_without_a_finite_number_is_none() -> None:
    class Odd(Raises):
        def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
            return np.array([math.nan if row["value"] == 1 else row["value"] for row in rows])

    assert scorer(Odd()).answer(rows(3, [])) == [{"value": 0.0}, None, {"value": 2.0}]


def test_a_model_that_answers_fewer_rows_than_it_was_asked_answers_none_wrongly() -> None:
    class Short(Raises):
        def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
            return super().scores(rows)[: 1 if len(rows) == 1 else -1]

    assert scorer(Short()).answer(rows(8, [])) == [{"value": float(number)} for number in range(8)]


def test_what_a_failure_tells_in_the_log_holds_no_features(caplog: pytest.LogCaptureFixture) -> None:
    class Talks(Raises):
        def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
            raise ValueError(f"cannot score {rows}")

    scorer(Talks()).answer([{"value": 123456789}])
    assert "ValueError at " in caplog.text
    assert "123456789" not in caplog.text
