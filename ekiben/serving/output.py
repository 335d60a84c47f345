"""What a version answers with: how scores become predictions, and which of their fields mean what.

| made by | scores | an answer |
|---|---|---|
| `value_output` | (rows,) | `{"value": 151.2}` |
| `probability_output` | (rows,), 0 to 1 | `{"probability": 0.83, "decision": "yes"}` |
| `classes_output` | (rows, classes), 0 to 1 | `{"label": "b", "probabilities": {"a": 0.1, "b": 0.9}}` |
| `values_output` | (rows, names) | `{"values": {"day_1": 3.1, "day_7": 24.0}}` |
| `Output(…)` itself | either | whatever your own function makes of them |

`output` of `/model/info` says how to read an answer, whichever made it. Each entry is null where there is no
such thing. `score` is the field with the one number, `decision` the field with one of a few texts, `positive`
the class that the score is the probability of. `scores` is the field with several numbers by their names,
and these are listed, in the order of the scores, as `classes` (then each number is the probability of one)
or as `names`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model

# The label of `ml_predictions_total` where nothing is decided: a value is no label, there are too many.
ANY_VALUE: Final = "value"

Answers = Callable[[NDArray[np.float64]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a model.

    `answers` turns the scores of n rows into n JSON-ready dicts, each with the fields of `prediction`. The
    scores are of shape (n,), or (n, k) where there are k `classes` or `names`. The module's docstring says
    what the other entries mean; the field `decision` is a `Literal` of strings.
    """

    prediction: type[BaseModel]
    answers: Answers
    score: str | None = None
    decision: str | None = None
    positive: str | None = None
    scores: str | None = None
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def as_json(self) -> dict[str, str | list[str] | None]:
        """The `output` of `/model/info`."""
        return {
            "score": self.score,
            "positive": self.positive,
            "decision": self.decision,
            "scores": self.scores,
            "classes": [*self.classes] or None,
            "names": [*self.names] or None,
        }

    def labels(self) -> tuple[str, ...]:
        """Every value that the label `prediction` of the metrics can take."""
        if self.decision is None:
            return (ANY_VALUE,)
        decisions = get_args(self.prediction.model_fields[self.decision].annotation)
        if not decisions or not all(isinstance(decision, str) for decision in decisions):
            raise TypeError(f"{self.prediction.__name__}.{self.decision} must be a Literal of strings")
        return tuple(decisions)

    def fit(self, scores: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        """The scores of so many rows in the shape that `answers` takes. Raises ValueError for another one."""
        width = len(self.classes or self.names)
        if not width and scores.shape == (rows,):
            return scores
        if not width and scores.ndim == 2 and scores.shape[1] == 1:
            scores = scores[:, 0]
        wanted = (rows, width) if width else (rows,)
        if scores.shape != wanted:
            raise ValueError(f"the model gives scores of shape {scores.shape}, the output takes {wanted}")
        return scores


def value_output(field: str = "value", about: str = "the predicted value") -> Output:
    """The output of a regression: the score itself."""
    prediction = _prediction("The value that is predicted.", {field: (float, Field(description=about))})
    return Output(prediction, lambda scores: [{field: score} for score in scores.tolist()], score=field)


def probability_output(
    positive: str,
    *,
    at_least: str,
    below: str,
    threshold: float = 0.5,
    score: str = "probability",
    decision: str = "decision",
) -> Output:
    """The output of a classification of two classes: the probability of `positive`, and what follows.

    The decision is `at_least` from a probability of `threshold` on, and `below` otherwise.
    """
    about = f"{at_least} from a probability of {threshold} on"
    fields = {
        score: (float, _share(f"how likely it is {positive}")),
        decision: (_one_of([at_least, below]), Field(description=about)),
    }

    def answers(scores: NDArray[np.float64]) -> list[dict[str, Any]]:
        return [{score: each, decision: at_least if each >= threshold else below} for each in scores.tolist()]

    prediction = _prediction(f"How likely it is {positive}, and what follows.", fields)
    return Output(prediction, answers, score=score, decision=decision, positive=positive)


def classes_output(classes: Sequence[str], *, label: str = "label", scores: str = "probabilities") -> Output:
    """The output of a classification of several classes: the likeliest, and the probability of each.

    `classes` are in the order of the model's columns. Raises ValueError for fewer than two or the same twice.
    """
    named = _several(classes, "classes")
    fields = {
        label: (_one_of(named), Field(description="the likeliest class")),
        scores: (dict[str, float], Field(description="the probability of each class, 0 to 1")),
    }

    def answers(found: NDArray[np.float64]) -> list[dict[str, Any]]:
        likeliest = found.argmax(axis=1).tolist()
        return [
            {label: named[place], scores: dict(zip(named, row, strict=True))}
            for place, row in zip(likeliest, found.tolist(), strict=True)
        ]

    prediction = _prediction("The likeliest class, and the probability of each.", fields)
    return Output(prediction, answers, decision=label, scores=scores, classes=named)


def values_output(
    names: Sequence[str], *, scores: str = "values", about: str = "each predicted value by its name"
) -> Output:
    """The output of a regression with several values, such as one for each horizon of a forecast.

    `names` are in the order of the model's columns. Raises ValueError for fewer than two or the same twice.
    """
    named = _several(names, "names")

    def answers(found: NDArray[np.float64]) -> list[dict[str, Any]]:
        return [{scores: dict(zip(named, row, strict=True))} for row in found.tolist()]

    fields = {scores: (dict[str, float], Field(description=about))}
    prediction = _prediction("The values that are predicted.", fields)
    return Output(prediction, answers, scores=scores, names=named)


def _prediction(about: str, fields: dict[str, Any]) -> type[BaseModel]:
    made: type[BaseModel] = create_model(
        "Prediction", __config__=ConfigDict(frozen=True), __doc__=about, **fields
    )
    return made


def _share(about: str) -> Any:
    # Described and not checked: 32 bits may round a certainty to a little more than 1.
    return Field(description=about, json_schema_extra={"minimum": 0, "maximum": 1})


def _one_of(texts: Sequence[str]) -> Any:
    return Literal[tuple(texts)]


def _several(names: Sequence[str], what: str) -> tuple[str, ...]:
    found = tuple(names)
    if len(found) < 2 or len(set(found)) < len(found) or not all(isinstance(n, str) and n for n in found):
        raise ValueError(f"{what} must be at least two different texts, not {list(found)}")
    return found
