"""Two versions on the same predictions: how well each fits the labels, what deciding otherwise would cost."""

from __future__ import annotations

import msgspec

from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.metric import State


class PairedMeasure(msgspec.Struct, frozen=True):
    """One measure of both versions on the same labelled predictions, and the shadow minus the served one."""

    measure: str
    against: float | None
    shadow: float | None
    difference: float | None
    interval: Interval  # of the difference, holds at every look
    p_value: float | None  # anytime-valid


class PairedQuality(msgspec.Struct, frozen=True):
    """How well both versions fit the labels of one outcome, on predictions that both answered."""

    outcome: str
    measure: str  # that `state` is about
    better: str  # higher | lower
    users: int  # with a label
    labels: int
    positives: int | None  # None with classes
    alpha: float
    state: State  # better, worse, unclear or no_data
    measures: tuple[PairedMeasure, ...] = ()

    @property
    def compared(self) -> PairedMeasure | None:
        """The measure that `state` is about."""
        return next((each for each in self.measures if each.measure == self.measure), None)


class DecidedOtherwise(msgspec.Struct, frozen=True):
    """Predictions of which the shadow would decide so, and the served version decided otherwise.

    `with_outcome` of them have an outcome of that name, with a mean per prediction that has one. Where the
    served version declined there is no outcome, and what accepting would have brought is not known.
    """

    decision: str  # the shadow's
    outcome: str
    predictions: int
    with_outcome: int
    mean: float | None
    interval: Interval  # of the mean, holds at every look
