"""What the columns of a model's scores are, and the held-out targets that these are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ekiben.publishing import metrics
from ekiben.publishing.card import ModelCard
from ekiben.publishing.held_out import quoted, some
from ekiben.serving.card import ALL_COLUMNS

Floats = NDArray[np.float64]

_KIND_OF: Final = {2: 'kind="classification"', 3: 'kind="multiclass"'}


@dataclass(frozen=True, slots=True)
class Answers:
    """Which column of what a model computes is the score, and -1 when all are.

    `values` are the classes that targets may hold, in the order of the columns, `classes` their names.
    `names` are those of several values of a regression.
    """

    column: int
    values: tuple[Any, ...] = ()
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def columns(self) -> int | None:
        """The number of columns that are scores; None for one score a row."""
        return len(self.classes or self.names) or None

    def take(self, computed: Any) -> Floats:
        """The scores in what a model computed: (rows,), or (rows, columns)."""
        scores = np.asarray(computed, dtype=np.float64)
        if scores.ndim == 2 and self.column != ALL_COLUMNS:
            return scores[:, self.column]
        return scores


def of_classes(card: ModelCard, classes: Sequence[Any]) -> Answers:
    """The answers of a model with these classes. Raises `PublishingError` where the card says otherwise."""
    values = tuple(each.item() if isinstance(each, np.generic) else each for each in classes)
    if card.kind == "regression":
        raise card.refused(
            f"it is a classifier of {quoted(values)}: give its card {_KIND_OF[min(len(values), 3)]}"
        )
    if card.kind == "multiclass":
        names = tuple(map(str, values))
        if card.classes:
            given = tuple(map(str, card.classes))
            encoded = all(isinstance(each, int) for each in values) and set(given).isdisjoint(names)
            if given != names and not (encoded and len(given) == len(names)):
                raise card.refused(
                    f"its classes are {some(names)} and the card's are {some(given)}: list the model's, in "
                    "their order"
                )
            names = given
        return Answers(ALL_COLUMNS, values, names)
    if len(values) != 2:
        raise card.refused(
            f"its classes are {quoted(values)}, and a classification has two: give its card "
            'kind="multiclass", and the schema classes_output(…)'
        )
    positive = positive_of(card)
    if card.positive is None and set(values) != {0, 1}:
        raise card.refused(
            f"its classes are {quoted(values)}: say in the card which one the score is the probability of, "
            f"such as positive={values[1]!r}"
        )
    if positive not in values:
        raise card.refused(f"positive={positive!r} is none of its classes {quoted(values)}")
    return Answers(values.index(positive), values)


def of_columns(card: ModelCard, columns: int, targets: Any = None) -> Answers:
    """The answers of a regression with so many columns. Raises `PublishingError`."""
    if columns == 1:
        if card.names:
            raise card.refused(
                f"it gives one value a row and the card names {len(card.names)}: leave names out"
            )
        return Answers(0)
    names = tuple(card.names) or tuple(map(str, getattr(targets, "columns", ())))
    if len(names) != columns:
        raise card.refused(
            f"it gives {columns} values a row: name each in the card, such as "
            f"names=({', '.join(repr(f'day_{n}') for n in range(1, min(columns, 3) + 1))}, …)"
        )
    return Answers(ALL_COLUMNS, names=names)


def of_outputs(card: ModelCard, columns: int, targets: Any = None) -> Answers:
    """The answers of a model that does not know its classes. Raises `PublishingError`.

    Of two columns the second one is the probability of the positive class.
    """
    if card.kind == "regression":
        return of_columns(card, columns, targets)
    if card.kind == "classification":
        if columns > 2:
            raise card.refused(
                f"it gives {columns} probabilities a row, and a classification has one or two: give its card "
                'kind="multiclass" and its classes'
            )
        return Answers(columns - 1)
    if columns != len(card.classes):
        raise card.refused(
            f"it gives {columns} probabilities a row, and its card lists {len(card.classes)} classes: list "
            "the classes in the order of the columns"
        )
    return Answers(ALL_COLUMNS, tuple(range(columns)), tuple(map(str, card.classes)))


def check_targets(card: ModelCard, answers: Answers, targets: Any, rows: int) -> NDArray[Any]:
    """The held-out targets to measure against. Raises `PublishingError`.

    1 and 0 for the positive class and the other, the column's number of each class, or the values.
    """
    given = np.asarray(targets)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    wanted = (rows,) if not answers.names else (rows, len(answers.names))
    if given.shape != wanted:
        raise card.refused(
            f"there are {rows} held-out rows and targets of shape {given.shape}, not {wanted}: give one each"
        )
    if pd.isna(given).any():
        raise card.refused("some held-out targets are missing: leave these rows out")
    if card.kind == "regression":
        if given.dtype.kind not in "biuf" or not np.isfinite(given).all():
            raise card.refused(
                f"the held-out targets of a regression must be finite numbers, not {given.dtype}: "
                "convert them"
            )
        return given.astype(np.float64)
    return _numbered(card, answers, given)


def _numbered(card: ModelCard, answers: Answers, given: NDArray[Any]) -> NDArray[np.int64]:
    found = given.tolist()
    if not (values := answers.values):  # two classes, of a model that does not say which
        values = tuple(set(found))
        if len(values) > 2 or positive_of(card) not in values or (card.positive is None and 0 not in values):
            raise card.refused(
                f"the held-out targets hold {quoted(values)}, and a classification has two classes, of which "
                f"one is positive={positive_of(card)!r}: say which one in the card, or convert them to 1, 0"
            )
    known: dict[Any, int] = {value: place for place, value in enumerate(values)}
    for place, name in enumerate(answers.classes):
        known.setdefault(name, place)
    if unknown := {each for each in found if each not in known}:
        raise card.refused(
            f"the held-out targets hold {quoted(sorted(unknown, key=str))}, none of its classes "
            f"{quoted(values)}: give the targets that it was trained on"
        )
    places = np.array([known[each] for each in found], dtype=np.int64)
    if len(set(places.tolist())) < 2:
        raise card.refused(f"all held-out targets are {given[0]}: hold out rows of every class (stratify)")
    return places if answers.classes else (places == known[positive_of(card)]).astype(np.int64)


def positive_of(card: ModelCard) -> Any:
    """The class that a classification gives the probability of, 1 unless its card says which."""
    return 1 if card.positive is None else card.positive


def check_scores(card: ModelCard, answers: Answers, scores: Floats, rows: int) -> None:
    """Raise `PublishingError` for scores of another shape, or that are not finite."""
    wanted = (rows,) if answers.columns is None else (rows, answers.columns)
    if scores.shape != wanted:
        raise card.refused(
            f"it gives scores of shape {scores.shape} for {rows} rows, and its card stands "
            f"for {wanted}: correct kind, classes or names"
        )
    if not np.isfinite(scores).all():
        raise card.refused(
            "it gives NaN or infinity for some held-out rows: handle what is missing inside it"
        )
    if card.kind == "regression":
        return
    if scores.min() < -1e-6 or scores.max() > 1 + 1e-6:
        raise card.refused(
            f"its scores go from {scores.min():.4g} to {scores.max():.4g}, and probabilities from 0 to 1: "
            "end it with a sigmoid or a softmax"
        )
    if scores.ndim == 2 and np.abs(scores.sum(axis=1) - 1).max() > 1e-3:
        raise card.refused("the probabilities of its classes do not add up to 1: end it with a softmax")


def difference(expected: Floats, got: Floats, kind: str, tolerance: float) -> str | None:
    """How scores differ from what they should be, if by more than `tolerance`; or None.

    Of a regression the tolerance is a share of each column's largest value.
    """
    if expected.shape != got.shape:
        return f"it gives scores of shape {got.shape} instead of {expected.shape}"
    largest: Any = np.abs(expected).max(axis=0) if kind == "regression" else 1.0
    worst = float(np.max(np.abs(expected - got) / np.maximum(largest, 1e-30)))
    if worst <= tolerance:
        return None
    return f"it differs by {worst:.2g} on the held-out rows, more than {tolerance:.2g}"


def measure(card: ModelCard, answers: Answers, actual: NDArray[Any], scores: Floats) -> dict[str, float]:
    """The metrics of these scores, and the card's own."""
    if answers.classes:
        found = metrics.multiclass(actual, scores, answers.classes)
    elif card.kind == "classification":
        found = metrics.classification(actual, scores, card.threshold)
    else:
        found = metrics.regression(actual, scores, answers.names)
    finite = {name: value for name, value in found.items() if np.isfinite(value)}  # r2 of one row is not
    return {**finite, **{name: float(value) for name, value in card.more_metrics.items()}}
