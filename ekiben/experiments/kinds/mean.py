"""The mean over users of the sum of their outcomes."""

from __future__ import annotations

from ekiben.experiments.kinds.kind import Kind


class Mean(Kind):
    """The sum of the user's outcomes, 0 without one."""

    name = "mean"
    words = "mean of each user"
    fixed_test = "mean"

    def title(self, metric: str) -> str:
        """ "profit per user"."""
        return f"{metric} per user"
