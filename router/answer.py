"""What a model version answered for one row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import orjson

from router.errors import VersionMalformed


@dataclass(frozen=True, slots=True)
class OutputFields:
    """Which fields of a prediction are its score and its decision (`output` of `/model/info`)."""

    score: str | None = None
    decision: str | None = None


UNKNOWN_OUTPUT = OutputFields()


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction: its JSON as the service gave it, what gave it, and what of it is recorded."""

    body: bytes
    model_version: str
    score: float | None
    decision: str | None


def read_answer(prediction: Any, model_version: str, output: OutputFields) -> Answer:
    """Check a prediction against the fields that its version promises. Raises `VersionMalformed`."""
    if type(prediction) is not dict:
        raise VersionMalformed("a prediction that is no object")
    score = decision = None
    if output.score is not None:
        score = prediction.get(output.score)
        if type(score) is int:
            score = float(score)
        if type(score) is not float or not math.isfinite(score):
            raise VersionMalformed(f"a prediction without a number in `{output.score}`")
    if output.decision is not None:
        decision = prediction.get(output.decision)
        if type(decision) is not str:
            raise VersionMalformed(f"a prediction without a text in `{output.decision}`")
    return Answer(orjson.dumps(prediction), model_version, score, decision)
