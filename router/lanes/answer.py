"""What a model version answered for one row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

from ekiben.experiments.version import MAX_SCORES
from router.errors import RowNotTried, RowRefused, VersionFailed, VersionMalformed, VersionUnavailable


@dataclass(frozen=True, slots=True)
class OutputFields:
    """Where in a prediction its score, its decision and, where it has several, its scores lie (`output` of
    `/model/info` or of the document): a field, a path such as `a.b` or `a.0`, or `.` for all of it.
    """

    score: str | None = None
    decision: str | None = None
    scores: str | None = None


_MAX_ERRORS: Final = 100

UNKNOWN_OUTPUT = OutputFields()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A prediction: its JSON as the service gave it, what gave it, and what of it is recorded."""

    body: bytes
    model_version: str
    score: float | None
    decision: str | None
    scores: tuple[float, ...] | None = None


def read_answer(prediction: Any, model_version: str, output: OutputFields) -> Answer:
    """Check a prediction against the fields that its version promises. Raises `VersionMalformed`."""
    if prediction is None:
        raise VersionMalformed("a prediction that is null")
    score = decision = None
    if output.score is not None:
        score = _found(prediction, output.score)
        if type(score) is int:
            score = float(score)
        if type(score) is not float or not math.isfinite(score):
            raise VersionMalformed(f"a prediction without a number in `{output.score}`")
    if output.decision is not None:
        decision = _found(prediction, output.decision)
        if type(decision) in (int, bool):  # as others write their classes
            decision = str(decision).lower()
        if type(decision) is not str:
            raise VersionMalformed(f"a prediction without a text in `{output.decision}`")
    scores = None if output.scores is None else _scores(_found(prediction, output.scores), output.scores)
    try:
        # Copied: what orjson returns keeps the whole buffer it was written in, 4 KB for 60 bytes, as long as
        # the answer is cached.
        body = bytes(memoryview(orjson.dumps(prediction)))
    except orjson.JSONEncodeError:  # orjson reads deeper nesting than it writes
        raise VersionMalformed("a prediction that cannot be written as JSON again") from None
    return Answer(body, model_version, score, decision, scores)


def _scores(found: Any, path: str) -> tuple[float, ...] | None:
    """A list of numbers, or those of a mapping in the order of their names. None for too many."""
    if type(found) is dict:
        found = [found[name] for name in sorted(found)]
    try:
        scores = msgspec.convert(found, list[float], strict=True)
    except msgspec.ValidationError:
        raise VersionMalformed(f"a prediction without numbers in `{path}`") from None
    if not all(map(math.isfinite, scores)):
        raise VersionMalformed(f"a prediction without finite numbers in `{path}`")
    return tuple(scores) if len(scores) <= MAX_SCORES else None


def _found(prediction: Any, path: str) -> Any:
    """What lies at `path`, None where nothing does. The name of a field may have dots in it too."""
    if type(prediction) is dict and path in prediction:
        return prediction[path]
    if path == ".":
        return prediction
    for step in path.split("."):
        if type(prediction) is dict:
            prediction = prediction.get(step)
        elif type(prediction) is list and step.isascii() and step.isdigit() and int(step) < len(prediction):
            prediction = prediction[int(step)]
        else:
            return None
    return prediction


Row = Answer | RowRefused | VersionFailed
"""What became of one row: its answer, why the service refused it, or what it failed with."""


def is_usable(row: Row) -> bool:
    """Whether it is what only an endpoint that works says of a row."""
    return isinstance(row, (Answer, RowRefused))


class Served(msgspec.Struct, frozen=True, gc=False):
    """An answer and how it came about: the cache tier it came from, and where the time went, in ms."""

    answer: Answer
    tier: str | None = None
    cache_ms: float = 0.0
    queue_ms: float = 0.0
    model_ms: float = 0.0


def read_item(item: Any, model_version: str, output: OutputFields) -> Row:
    """What a service said of one row: `{"ok": …}` or `{"error": …}`. Raises `VersionMalformed` for neither.

    Whatever is wrong below that is this row's alone, and returned.
    """
    if type(item) is not dict or ("ok" not in item and type(item.get("error")) is not dict):
        raise VersionMalformed("an item that is neither `ok` nor `error`")
    try:
        if "ok" in item:
            if type(item["ok"]) is not dict:
                raise VersionMalformed("a prediction that is not an object")
            return read_answer(item["ok"], model_version, output)
        error = item["error"]
        if error.get("status") == 422:
            return RowRefused(read_refusal(error.get("errors")))
        if error.get("status") == 503:
            return RowNotTried("the service had no time for this row")
    except VersionMalformed as malformed:
        return malformed
    return VersionUnavailable("the service failed on this row")


class _Wrong(msgspec.Struct):
    """Only these two are passed on: what else a service says of a row may be the row itself."""

    loc: list[str | int]
    msg: str


def read_refusal(errors: Any) -> list[dict[str, Any]]:
    """Check why a service refused a row: a list of `{"loc": […], "msg": "…"}`. The first 100 are returned.

    Raises `VersionMalformed`.
    """
    try:
        said = msgspec.convert(errors[:_MAX_ERRORS], list[_Wrong])
    except (TypeError, msgspec.ValidationError):
        raise VersionMalformed("a refusal without a list of `loc` and `msg`") from None
    return [msgspec.structs.asdict(each) for each in said]
