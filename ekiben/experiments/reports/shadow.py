"""A shadow version beside the version that answered."""

from __future__ import annotations

import msgspec

from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.paired import DecidedOtherwise, PairedQuality


class ScoreBin(msgspec.Struct, frozen=True):
    """How many shadow answers differ from the served one by [low, high) in their score, or in that one of
    several in which they differ most.
    """

    low: float
    high: float
    count: int


class ShadowReport(msgspec.Struct, frozen=True):
    """A shadow version beside the version that answered: the evidence before its first user."""

    model: str
    version: str
    against: str
    compared: int
    agreement: float | None  # share of equal decisions
    agreement_interval: Interval
    mean_difference: float | None  # None where answers have several scores
    mean_absolute_difference: float | None  # of several scores those that are farthest apart
    difference: tuple[ScoreBin, ...]
    ks_distance: float | None  # Kolmogorov-Smirnov, between the two versions' scores
    latency_ms: dict[str, float]  # p50, p95, p99 of the shadow
    against_latency_ms: dict[str, float]
    paired: tuple[PairedQuality, ...] = ()  # one for each label that experiments of the model have
    otherwise: tuple[DecidedOtherwise, ...] = ()  # by outcome and the shadow's decision

    @property
    def of_several(self) -> bool:
        """Whether the answers have several scores: differences are of those that are farthest apart."""
        return self.mean_difference is None and self.mean_absolute_difference is not None
