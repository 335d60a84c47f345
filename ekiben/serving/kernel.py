"""One version without a server: parsed rows in, answers out. Knows no BentoML, no HTTP and no metrics.

    kernel = open_kernel(Path("churn_v1"), Customer, OUTPUT)
    kernel.answer([{"age": 41}, {"age": "?"}])
    # [{"ok": {"value": 0.3}}, {"error": {"status": 422, "errors": [{"loc": ["age"], "msg": "…"}]}}]

A BentoML service stands around one (`ekiben.serving.bento`), and so can a batch job, a function or a test.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from ekiben.serving.card import StoredCard
from ekiben.serving.features import Features, blank_row
from ekiben.serving.models.loading import load_published
from ekiben.serving.models.model import Loader, Model
from ekiben.serving.output import Output
from ekiben.serving.rows import RowChecker
from ekiben.serving.scoring import NOT_TRIED, UNMEASURED, Measure, Scored, Scorer, where
from ekiben.serving.stored import ModelRefused, read_folder

log = logging.getLogger(__name__)

Item = dict[str, Any]

_NO_ANSWER: Final = {"error": {"status": 500}}
_NOT_TRIED: Final = {"error": {"status": 503}}


class Kernel:
    """A loaded version that answers.

    Raises `ModelRefused` for a model that looks at what `features` does not have, or whose scores are not of
    the shape that `output` takes.
    """

    def __init__(
        self, model: Model, features: type[Features], output: Output, measure: Measure = UNMEASURED
    ) -> None:
        _check_inputs(model.inputs, features)
        self.output = output
        self.rows = RowChecker(features)
        self.scorer = Scorer(model, output, measure)
        _call_once(model, features, output)

    def answer(self, data: Sequence[Any]) -> list[Item]:
        """`{"ok": …}` or `{"error": …}` for each of the parsed rows, in order: 422 for features that are
        refused, 500 for a row that the model fails on, 503 for one that there was no time for beside those.
        """
        checked = self.rows.check_each(data)
        items = [
            _NO_ANSWER if each is None else _NOT_TRIED if each is NOT_TRIED else {"ok": each}
            for each in self.scorer.answer([row.__dict__ for row in checked if type(row) is not list])
        ]
        if len(items) < len(checked):
            answered = iter(items)
            items = [
                {"error": {"status": 422, "errors": row}} if type(row) is list else next(answered)
                for row in checked
            ]
        return items

    def predict(self, instances: Sequence[Features]) -> list[BaseModel | None]:
        """The prediction for each of the checked rows, in order; None where there is none."""
        return [self._prediction(each) for each in self.scorer.answer([row.__dict__ for row in instances])]

    def _prediction(self, answer: Scored) -> BaseModel | None:
        try:
            return None if answer is None or answer is NOT_TRIED else self.output.prediction(**answer)
        except ValidationError:  # the model answers with what it says it never does
            return None


def check_fit(card: StoredCard, features: type[Features], output: Output) -> None:
    """Whether a version can be of this schema, as far as its card says. Raises `ModelRefused`.

    Where the card lists `classes` or `names`, they are those of the schema in the same order.
    """
    _check_inputs(card.inputs, features)
    for what, its, ours in (("classes", card.classes, output.classes), ("names", card.names, output.names)):
        if its and its != [*ours]:
            raise ModelRefused(
                f"the model was published with the {what} {', '.join(its)}, and the "
                f"schema's OUTPUT has {', '.join(ours) or 'none'}: list them as they were published"
            )


def _check_inputs(inputs: Iterable[str], features: type[Features]) -> None:
    unknown = sorted(set(inputs) - set(features.model_fields))
    if unknown:
        raise ModelRefused(
            f"the model looks at {', '.join(unknown)}, which {features.__name__} does not have"
        )


def open_kernel(
    folder: Path, features: type[Features], output: Output, load: Loader = load_published
) -> Kernel:
    """The version in `folder`, a copy of one in BentoML's store, with every file checked.

    Raises `ModelRefused`.
    """
    stored = read_folder(folder)
    check_fit(stored.card, features, output)
    return Kernel(load(stored), features, output)


def _call_once(model: Model, features: type[Features], output: Output) -> None:
    """Make the first call, which is the slow one, and see the shape of its scores."""
    try:
        scores = model.scores([blank_row(features)])
    except Exception as error:
        # A row of nothing need not be one that the model can take.
        log.warning("a first call of the model, with a row that says nothing, failed: %s", where(error))
        return
    try:
        output.fit(scores, 1)
    except ValueError as error:
        raise ModelRefused(f"{error}: the schema's OUTPUT is of another kind than the model") from None
