"""What scores are answered as, and what `/model/info` says about reading it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ekiben.serving.output import Output, classes_output, probability_output, value_output, values_output

NOTHING: dict[str, Any] = dict.fromkeys(("score", "decision", "positive", "scores", "classes", "names"))


def answers(output: Output, scores: Any) -> list[dict[str, Any]]:
    """Each of them a valid prediction."""
    found = output.answers(np.array(scores, dtype=np.float64))
    assert [output.prediction(**each).model_dump() for each in found] == found
    return found


def test_a_value_is_the_score() -> None:
    output = value_output("days", "days until the visit")
    assert answers(output, [1.5, 2]) == [{"days": 1.5}, {"days": 2.0}]
    assert output.as_json() == {**NOTHING, "score": "days"}
    assert output.labels() == ("value",)


def test_a_probability_decides_from_its_threshold_on() -> None:
    output = probability_output("late", at_least="call", below="wait", threshold=0.25, score="risk")
    assert answers(output, [0.2, 0.25]) == [
        {"risk": 0.2, "decision": "wait"},
        {"risk": 0.25, "decision": "call"},
    ]
    assert output.as_json() == {**NOTHING, "score": "risk", "decision": "decision", "positive": "late"}
    assert output.labels() == ("call", "wait")


def test_a_certainty_that_32_bits_round_up_is_no_failure() -> None:
    output = probability_output("late", at_least="call", below="wait")
    assert answers(output, [np.float32(1.0000001)])[0]["decision"] == "call"


def test_several_classes_have_a_probability_each_and_the_likeliest_is_the_label() -> None:
    output = classes_output(["bad", "fair", "good"])
    assert answers(output, [[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]) == [
        {"label": "good", "probabilities": {"bad": 0.1, "fair": 0.2, "good": 0.7}},
        {"label": "bad", "probabilities": {"bad": 0.5, "fair": 0.3, "good": 0.2}},
    ]
    assert output.as_json() == {
        **NOTHING,
        "decision": "label",
        "scores": "probabilities",
        "classes": ["bad", "fair", "good"],
    }
    assert output.labels() == ("bad", "fair", "good")


def test_several_horizons_have_a_value_each() -> None:
    output = values_output(["day_1", "day_7"], scores="demand")
    assert answers(output, [[1, 7], [2, 14]]) == [
        {"demand": {"day_1": 1.0, "day_7": 7.0}},
        {"demand": {"day_1": 2.0, "day_7": 14.0}},
    ]
    assert output.as_json() == {**NOTHING, "scores": "demand", "names": ["day_1", "day_7"]}
    assert output.labels() == ("value",)


@pytest.mark.parametrize("names", [[], ["one"], ["a", "a"], ["a", ""], ["a", 1]])
def test_names_are_at_least_two_different_texts(names: list[Any]) -> None:
    with pytest.raises(ValueError, match="must be at least two different texts"):
        classes_output(names)
    with pytest.raises(ValueError, match="must be at least two different texts"):
        values_output(names)
