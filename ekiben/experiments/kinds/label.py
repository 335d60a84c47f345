"""How well the scores that were served fit the ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from ekiben.experiments.kinds.kind import Kind
from ekiben.experiments.problems import Path, show
from ekiben.experiments.version import MAX_SCORES

if TYPE_CHECKING:
    from ekiben.experiments.document import Metric


class LabelMeasure(StrEnum):
    """How well scores fit the labels."""

    ROC_AUC = "roc_auc"
    BRIER = "brier"
    LOG_LOSS = "log_loss"
    ACCURACY = "accuracy"

    @property
    def is_loss(self) -> bool:
        """Whether lower is better."""
        return self in (LabelMeasure.BRIER, LabelMeasure.LOG_LOSS)

    @property
    def called(self) -> str:
        """What pages and tables call it."""
        return {"roc_auc": "ROC AUC", "brier": "Brier score"}.get(self, self.replace("_", " ").capitalize())

    @property
    def bounds(self) -> tuple[float, float | None]:
        """The least and the largest value that there is."""
        return 0.0, None if self.is_loss else 1.0


class Label(Kind):
    """Ground truth for a prediction: 1 is positive, 0 is not. With classes it is the true one's place."""

    name = "label"
    words = "ground truth"
    takes_covariate = False
    takes_cap = False
    of_predictions = True
    of_some_users = True

    def title(self, metric: str) -> str:
        """ "the fit of the scores to repaid"."""
        return f"the fit of the scores to {metric}"

    def problems(self, metric: Metric) -> Iterator[tuple[Path, str]]:
        """A label can decide and be watched, and that is all."""
        yield from super().problems(metric)
        if metric.measure.is_loss and metric.better == "higher":
            yield ("better",), f"{metric.measure} is a loss: write lower"
        if metric.guardrail is not None:
            yield ("guardrail",), "a label cannot be a guardrail: it arrives too late to stop harm"
        if metric.classes is not None and not 2 <= len(metric.classes) <= MAX_SCORES:
            yield ("classes",), f"are 2 to {MAX_SCORES}: leave them out where the truth is 1 or 0"
        for place, name in enumerate(metric.classes or ()):
            if metric.classes is not None and name in metric.classes[:place]:
                yield ("classes", place), f"{show(name)} is listed twice"
