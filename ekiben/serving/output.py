"""What a version answers with: how scores become predictions, and which of their fields mean what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

# The label of `ml_predictions_total` where nothing is decided: a value is no label, there are too many.
ANY_VALUE: Final = "value"

Answers = Callable[[NDArray[np.float64]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a model.

    `answers` turns n scores into n JSON-ready dicts, each with the fields of `prediction`. `score` names the
    numeric field of these, `decision` the field with one of a few strings (a `Literal`), `positive` the class
    that the score is the probability of; a regression has neither of the last two.
    """

    prediction: type[BaseModel]
    answers: Answers
    score: str
    decision: str | None = None
    positive: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """The `output` of `/model/info`."""
        return {"score": self.score, "positive": self.positive, "decision": self.decision}

    def labels(self) -> tuple[str, ...]:
        """Every value that the label `prediction` of the metrics can take."""
        if self.decision is None:
            return (ANY_VALUE,)
        decisions = get_args(self.prediction.model_fields[self.decision].annotation)
        if not decisions or not all(isinstance(decision, str) for decision in decisions):
            raise TypeError(f"{self.prediction.__name__}.{self.decision} must be a Literal of strings")
        return tuple(decisions)


def value_output(prediction: type[BaseModel], field: str) -> Output:
    """The output of a regression: the score itself, as the one field `field` of `prediction`."""
    return Output(prediction, lambda scores: [{field: score} for score in scores.tolist()], score=field)
