"""What a change of the document did to an experiment, in one word: what others want to be told of."""

from __future__ import annotations

from ekiben.experiments.document import Experiment
from ekiben.experiments.lifecycle import ACTIVE, Status


def act_of(before: Experiment | None, after: Experiment | None) -> str | None:
    """The act that made `after` of `before`: the new status where that changed, such as `rolled_back`, else
    `retired` or `coverage_changed`; None where it was none of them.
    """
    if after is None:
        return None
    was = Status.DRAFT if before is None else before.status
    if after.status is not was:
        return str(after.status)
    if before is None or after.status not in ACTIVE:
        return None
    if any(each.retired for name, each in after.variants.items() if not _retired(before, name)):
        return "retired"
    return "coverage_changed" if after.coverage != before.coverage else None


def _retired(experiment: Experiment, variant: str) -> bool:
    return variant in experiment.variants and experiment.variants[variant].retired
