"""From checked rows to answers by one call of the model; a row that it fails on costs the others nothing."""

from __future__ import annotations

import logging
import math
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, Protocol

import numpy as np
import orjson

from ekiben.serving.halving import Halving
from ekiben.serving.models.model import Model, Row
from ekiben.serving.output import ANY_VALUE, Output

log = logging.getLogger(__name__)

# The event loop stands still while guilty rows are looked for: the rest is given up after this time.
_SEARCH_S: Final = 0.1
_TELL_EVERY_S: Final = 10.0

Answer = dict[str, Any]


class Measure(Protocol):
    """What counts predictions; `ekiben.serving.measure` does it for Prometheus."""

    def record(self, labels: Counter[Any], seconds: float) -> None:
        """Count one model call of `seconds` that answered with these labels (`Output.labels`)."""
        ...

    def failed(self, rows: int) -> None:
        """Count valid rows that the model had no answer for."""
        ...


class _Unmeasured:
    def record(self, labels: Counter[Any], seconds: float) -> None:
        pass

    def failed(self, rows: int) -> None:
        pass


UNMEASURED: Final[Measure] = _Unmeasured()


class NotTried(Enum):
    """Stands for the answer to a row that there was no time for beside guilty ones: ask for it again."""

    NOT_TRIED = "not tried"


NOT_TRIED: Final = NotTried.NOT_TRIED
Scored = Answer | NotTried | None


class Scorer:
    """A loaded model, and what its scores are answered as.

    A row has no answer (None) when the model raises on it, when its score or another number of its answer is
    NaN or infinite, or when its answer cannot be written as JSON. Its neighbours have theirs.
    """

    def __init__(self, model: Model, output: Output, measure: Measure = UNMEASURED) -> None:
        self._model = model
        self._output = output
        self._measure = measure
        self._told_at = -math.inf

    def answer(self, rows: Sequence[Row]) -> list[Scored]:
        """The answers for checked rows, in order: from one call of the model, from more if it raises."""
        if not rows:
            return []
        why = "an answer that is not finite or cannot be written as JSON"
        answers: list[Scored]
        try:
            answers = [*self._call(rows)]
        except Exception as error:
            why = where(error)
            answers = self._answer_in_parts(rows)
        if failed := answers.count(None):
            self._measure.failed(failed)
            self._tell(failed, why)
        return answers

    def _answer_in_parts(self, rows: Sequence[Row]) -> list[Scored]:
        answers: list[Scored] = [None] * len(rows)
        until = time.monotonic() + _SEARCH_S
        halving = Halving(len(rows))
        while (span := halving.span) is not None and time.monotonic() < until:
            part = slice(*span)
            try:
                answers[part] = self._call(rows[part])
            except Exception:
                halving.failed()
            else:
                halving.answered()
        for start, end in halving.left:
            answers[start:end] = [NOT_TRIED] * (end - start)
        return answers

    def _call(self, rows: Sequence[Row]) -> list[Answer | None]:
        begun = time.perf_counter()
        scores = self._output.fit(self._model.scores(rows), len(rows))
        answers: list[Answer | None] = list(self._output.answers(scores))
        if len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        finite: Any = np.isfinite(scores)
        if not finite.all():
            finite = finite.reshape(len(rows), -1).all(axis=1)
            answers = [answer if good else None for answer, good in zip(answers, finite, strict=True)]
        answers = _sound(answers)
        seconds = time.perf_counter() - begun
        field = self._output.decision
        labels = [ANY_VALUE if field is None else a[field] for a in answers if a is not None]
        self._measure.record(Counter(labels), seconds)
        return answers

    def _tell(self, failed: int, why: str) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            log.error("the model has no answer for %d rows: %s", failed, why)


def where(error: Exception) -> str:
    """The kind of an error and its place, but not its message: that may hold the features."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {frame.filename}:{frame.lineno}"


def _sound(answers: list[Answer | None]) -> list[Answer | None]:
    """None in place of each answer that holds NaN or infinity, or that cannot be written as JSON."""
    try:
        # orjson writes what is not finite as null, so that most batches need no second look.
        if b"null" not in orjson.dumps(answers):
            return answers
    except orjson.JSONEncodeError:
        pass
    return [answer if _is_sound(answer) else None for answer in answers]


def _is_sound(answer: Answer | None) -> bool:
    try:
        orjson.dumps(answer)
    except orjson.JSONEncodeError:
        return False
    return _is_finite(answer)


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))
