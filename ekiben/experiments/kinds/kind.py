"""What a kind of metric is: how it is computed of a user's outcomes, compared between variants, and shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ekiben.experiments.problems import Path
from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import Estimate
from ekiben.experiments.statistics.moments import Moments

if TYPE_CHECKING:
    from ekiben.experiments.document import Metric


class Kind:
    """A value of each user, and its mean over users. Other kinds say what is other about them.

    A kind has no state: there is one object of each (`ekiben.experiments.kinds.table`).
    """

    name: ClassVar[str] = ""
    words: ClassVar[str] = "value of each user"
    """What a page says that the metric is: "mean of each user"."""
    is_share: ClassVar[bool] = False
    """Between 0 and 1: shown as percent, and a difference in percentage points."""
    is_ratio: ClassVar[bool] = False
    """All users' sums of x by their sums of y, instead of a mean of x: its metric names a denominator."""
    of_some_users: ClassVar[bool] = False
    """Whether a user without an outcome is left out instead of counting 0: it matters then who has one."""
    takes_covariate: ClassVar[bool] = True
    takes_cap: ClassVar[bool] = True
    of_predictions: ClassVar[bool] = False
    """Whether outcomes belong to predictions and are compared with their scores, not summed for each user."""
    adds_up: ClassVar[bool] = False
    """Whether a user's value is the sum of what each request brought, so that requests may be left out."""
    fixed_test: ClassVar[str | None] = None
    """The ordinary test beside the sequential one: mean, proportion or ratio. Without one it is the normal
    approximation's.
    """

    def title(self, metric: str) -> str:
        """What a sentence calls the metric of that name."""
        return metric

    def heading(self, metric: str) -> str:
        """What a page calls the metric of that name."""
        return metric

    def problems(self, metric: Metric) -> Iterator[tuple[Path, str]]:
        """Yield (path in the metric, message) for what this kind cannot have."""
        if self.is_ratio != (metric.denominator is not None):
            yield ("denominator",), "belongs to a ratio: the outcomes that it divides by"
        if metric.covariate is not None and not self.takes_covariate:
            yield ("covariate",), f"a {self.name} takes no covariate"
        if metric.cap is not None and not self.takes_cap:
            yield ("cap",), f"a {self.name} takes no cap: no user has much more of it than others"
        if metric.classes is not None and not self.of_predictions:
            yield ("classes",), "belong to a label: a metric of another kind has none"
        if metric.only_where is not None and not self.adds_up:
            message = "what the versions agree on cancels in sums only: write kind: mean, or leave it out"
            yield ("only_where",), message

    def of_user(self, outcomes: Any, own: Any) -> Any:
        """A user's value, as an expression of the engine (Ibis): of the table `outcomes`, grouped by user,
        those rows count for which `own` is true.
        """
        return outcomes.value.sum(where=own).fill_null(0.0)

    def is_dominated(self, moments: Moments) -> bool:
        """Whether a few users decide the value, so that its standard error says too little."""
        return False

    def capped(self, x: Any, y: Any, cap: float) -> tuple[Any, Any]:
        """A user's x and y, as expressions, with at most `cap` of what one user may have too much of."""
        return x.clip(lower=-cap, upper=cap), y

    def size(self, x: Any, y: Any) -> Any:
        """What `cap` cuts, without its sign."""
        return x.abs()

    def value(self, moments: Moments) -> float | None:
        """A variant's value, known from the first user on."""
        if self.is_ratio:
            return moments.x / moments.y if moments.y else None
        return moments.mean

    def plain(self, moments: Moments) -> Estimate | None:
        """The value with its standard error between users, which is 0 where all are alike."""
        return effects.ratio(moments) if self.is_ratio else effects.mean(moments)

    def estimate(self, moments: Moments) -> Estimate | None:
        """The value with the standard error that it is compared by; None while it has none."""
        return self.plain(moments)

    def pair(self, control: Moments, treatment: Moments) -> tuple[Estimate | None, Estimate | None]:
        """What is compared: both estimates, with what a covariate explains taken out where there is one."""
        if self.takes_covariate and (control + treatment).var_y:
            adjusted = effects.cuped(control, treatment)
            if adjusted is not None:
                return adjusted
        return self.estimate(control), self.estimate(treatment)
