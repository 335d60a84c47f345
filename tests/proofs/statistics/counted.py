"""What a world of its own reports: how often something happened, and how often it may."""

from __future__ import annotations

from typing import NamedTuple


class Counted(NamedTuple):
    """A share of `trials` simulated experiments; `level` is what it may be at most, None where nothing is
    claimed.
    """

    what: str
    share: float
    level: float | None
    trials: int
