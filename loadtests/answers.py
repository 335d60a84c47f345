"""What a right answer looks like, and that a user stays where he is. Every complaint is a short sentence
without ids, so that Locust counts equal ones as one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TEXTS = ("version", "model_version", "prediction_id")
_REQUIRED = {*_TEXTS, "prediction", "model", "experiment", "variant", "request_id", "cached"}
_OPTIONAL = {"fallback_from"}


@dataclass(frozen=True, slots=True)
class Output:
    """Which fields of a version's predictions hold a finite number and a text; None where it names none."""

    score: str | None = None
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer. `assigned` is the version that the router chose for the user."""

    version: str
    assigned: str
    prediction_id: str
    decision: str | None
    cached: bool

    @property
    def group(self) -> str:
        """How it was answered, for Locust's `name=`: `v1`, `v1 cached`, `v1 for v2`."""
        if self.assigned != self.version:
            return f"{self.version} for {self.assigned}"
        return f"{self.version} cached" if self.cached else self.version


class WrongAnswer(Exception):
    """The answer is not what the router promises; the message says in what."""


def read_outputs(described: Any) -> dict[str, Output]:
    """The output fields of each version, from the body of `GET /models/{model}`. Raises `WrongAnswer`."""
    versions = described.get("versions") if type(described) is dict else None
    if type(versions) is not dict:
        raise WrongAnswer("it does not describe the versions of a model")
    outputs = {}
    for name, version in versions.items():
        info = version.get("info") if type(version) is dict else None
        output = info.get("output") if type(info) is dict else None
        if type(output) is dict:
            outputs[name] = Output(output.get("score"), output.get("decision"))
    return outputs


def read_problem(status: int, body: bytes | None) -> str:
    """A refused request in words: its status, and what the problem document calls it."""
    try:
        kind = json.loads(body or b"")["type"]
    except (ValueError, KeyError, TypeError):
        return f"status {status}, and no problem document"
    return f"status {status}: {str(kind).rpartition(':')[2][:60]}"


def read_answer(body: bytes | None, model: str, request_id: str, outputs: Mapping[str, Output]) -> Answer:
    """Check the body of a 200 against the contract. Raises `WrongAnswer`."""
    try:
        answer = json.loads(body or b"")
    except ValueError:
        raise WrongAnswer("schema: not JSON") from None
    if type(answer) is not dict:
        raise WrongAnswer("schema: not an object")
    _check_schema(answer)
    if answer["model"] != model:
        raise WrongAnswer("the answer of another model")
    if answer["request_id"] != request_id:
        raise WrongAnswer("the answer to another request")
    version: str = answer["version"]
    decision = _check_prediction(answer["prediction"], outputs.get(version, Output()))
    assigned = answer.get("fallback_from", version)
    return Answer(version, assigned, answer["prediction_id"], decision, answer["cached"])


def _check_schema(answer: Mapping[str, Any]) -> None:
    if missing := _REQUIRED - answer.keys():
        raise WrongAnswer(f"schema: no `{min(missing)}`")
    if answer.keys() - _REQUIRED - _OPTIONAL:
        raise WrongAnswer("schema: a field that is not known")
    for name in (*_TEXTS, *(_OPTIONAL & answer.keys())):
        if type(answer[name]) is not str or not answer[name]:
            raise WrongAnswer(f"schema: `{name}` is not a text")
    if type(answer["cached"]) is not bool:
        raise WrongAnswer("schema: `cached` is not a boolean")
    if {type(answer["experiment"]), type(answer["variant"])} not in ({str}, {type(None)}):
        raise WrongAnswer("schema: `experiment` and `variant` are neither two texts nor both null")
    if answer.get("fallback_from") == answer["version"]:
        raise WrongAnswer("schema: `fallback_from` is the version that answered")


def _check_prediction(prediction: Any, output: Output) -> str | None:
    if type(prediction) is not dict or not prediction:
        raise WrongAnswer("schema: `prediction` is not an object with something in it")
    if output.score is not None:
        score = prediction.get(output.score)
        # bool is an int in Python, and no number in JSON.
        if type(score) is bool or not isinstance(score, int | float) or not math.isfinite(score):
            raise WrongAnswer(f"schema: no number in `prediction.{output.score}`")
    if output.decision is None:
        return None
    decision = prediction.get(output.decision)
    if type(decision) is not str:
        raise WrongAnswer(f"schema: no text in `prediction.{output.decision}`")
    return decision


class Assignments:
    """The version that each user was assigned when he first came."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}

    def check(self, user_id: str, answer: Answer) -> None:
        """Compare the assigned version, which a fallback leaves as it was. Raises `WrongAnswer`."""
        first = self._versions.setdefault(user_id, answer.assigned)
        if first != answer.assigned:
            raise WrongAnswer(f"the user's version changed from {first} to {answer.assigned}")
