"""What all trained models go through: the held-out rows are scored by the original and by what serves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from ekiben.publishing import answers as answering
from ekiben.publishing.answers import Answers, Floats
from ekiben.publishing.card import ModelCard
from ekiben.publishing.compiling import CannotConvert, reason_of
from ekiben.publishing.held_out import digest_of, frame_of, json_rows, optional_numbers, pair, refused_notes
from ekiben.publishing.store import Published, Servable, store
from ekiben.serving.models.model import Row
from ekiben.serving.models.onnx_model import OnnxModel

if TYPE_CHECKING:
    import pandas as pd

_PROBED: Final = 20  # held-out rows that are tried once more for each number that may be missing


@dataclass(frozen=True, slots=True)
class Original:
    """A trained model as its own library calls it: a frame of `inputs` in, probabilities or values out.

    `classes` are those of a classifier that knows them.
    """

    inputs: Sequence[str]
    compute: Callable[[pd.DataFrame], Any]
    classes: Sequence[Any] | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """What the original gives the first `held_out` of the `rows`, and the others with something missing."""

    rows: Sequence[Row]
    expected: Floats
    answers: Answers
    held_out: int
    actual: NDArray[Any]
    data_digest: str

    def finish(self, card: ModelCard, servable: Servable, scores: Floats, *, quiet: bool) -> Published:
        """Publish what gives the rows these scores. Raises `PublishingError`."""
        measured = answering.measure(card, self.answers, self.actual, scores[: self.held_out])
        notes = refused_notes(card, self.rows[: self.held_out])
        return store(card, servable.noting(notes), measured, self.data_digest, quiet)


def score(card: ModelCard, original: Original, held_out: Any) -> Scored:
    """Score the held-out rows, and some of them again with each number missing that may be.

    Raises `PublishingError` where the model fails on these, for its service would.
    """
    rows, targets = pair(card, held_out)
    frame = frame_of(card, rows, original.inputs)
    records = json_rows(card, frame)
    computed = _compute(card, original, frame, "the held-out rows")
    if original.classes is not None:
        answers = answering.of_classes(card, original.classes)
    else:
        # Of the one probability that a booster of two classes gives, ONNX makes two.
        least = 2 if card.kind == "classification" else 1
        answers = answering.of_outputs(card, max(least, _columns(computed)), targets)
    actual = answering.check_targets(card, answers, targets, len(records))
    expected = [answers.take(computed)]
    answering.check_scores(card, answers, expected[0], len(records))
    for name in optional_numbers(card, original.inputs):
        what = f"rows without {name}, which {card.features.__name__} allows to be missing"
        probe = frame.head(_PROBED).assign(**{name: np.nan})
        expected.append(answers.take(_compute(card, original, probe, what)))
    probes = [
        {**row, name: None} for name in optional_numbers(card, original.inputs) for row in records[:_PROBED]
    ]
    return Scored(
        rows=[*records, *probes],
        expected=np.concatenate(expected),
        answers=answers,
        held_out=len(records),
        actual=actual,
        data_digest=digest_of(card, rows, targets),
    )


def score_onnx(content: bytes, inputs: Sequence[str], scored: Scored, kind: str, tolerance: float) -> Floats:
    """What an ONNX file gives the rows. Raises `CannotConvert` where that differs from the original."""
    try:
        scores = scored.answers.take(OnnxModel(content, inputs).scores(scored.rows))
    except Exception as error:  # ONNX Runtime's own kinds of "cannot do that"
        raise CannotConvert(reason_of(error)) from error
    # It computes in 32 bits: a value may fall on the other side of a tree's threshold.
    if worse := answering.difference(scored.expected, scores, kind, tolerance):
        raise CannotConvert(worse)
    return scores


def _compute(card: ModelCard, original: Original, frame: pd.DataFrame, what: str) -> Any:
    try:
        computed = original.compute(frame)
    except Exception as error:  # whatever a user's model raises on rows that it was not trained on
        raise card.refused(
            f"it cannot score {what}: {reason_of(error)} (handle missing values and unknown categories "
            "inside the pipeline)"
        ) from error
    if isinstance(computed, list):
        raise card.refused(f"it predicts {len(computed)} classes at once: publish a model for each")
    return computed


def _columns(computed: Any) -> int:
    return 1 if np.ndim(computed) == 1 else int(np.shape(computed)[1])
