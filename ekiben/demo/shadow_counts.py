"""What the router has counted of its shadow versions, read from its /metrics."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import astuple, dataclass
from operator import sub

from prometheus_client.parser import text_string_to_metric_families

# Counter → the field of `Comparison` that it adds to.
COUNTED = {
    "ekiben_shadow_comparisons_total": "compared",
    "ekiben_shadow_score_difference_sum": "difference_sum",
    "ekiben_shadow_score_difference_count": "difference_count",
}
# Copies that never came to a comparison.
LOST = ("ekiben_shadow_dropped_total", "ekiben_shadow_failed_total")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a shadow's answers compare with those that were served."""

    compared: float = 0
    agreed: float = 0
    difference_sum: float = 0.0
    difference_count: float = 0

    @property
    def agreement(self) -> float | None:
        """The share of equal decisions, 0 to 1."""
        return self.agreed / self.compared if self.compared else None

    @property
    def mean_difference(self) -> float | None:
        """The mean absolute difference of the two scores."""
        return self.difference_sum / self.difference_count if self.difference_count else None

    def __sub__(self, other: Comparison) -> Comparison:
        return Comparison(*map(sub, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class ShadowCounts:
    """(shadow version, version it was compared with) → comparison, and how many copies had no answer."""

    comparisons: dict[tuple[str, str], Comparison]
    lost: float

    @property
    def settled(self) -> float:
        """Copies that are done with, one way or the other."""
        return self.lost + sum(each.compared for each in self.comparisons.values())

    def since(self, earlier: ShadowCounts) -> ShadowCounts:
        """What was counted after `earlier`."""
        none = Comparison()
        return ShadowCounts(
            {pair: each - earlier.comparisons.get(pair, none) for pair, each in self.comparisons.items()},
            self.lost - earlier.lost,
        )


def parse_shadow_counts(metrics: str, model: str) -> ShadowCounts:
    """Read a model's shadow counters from a Prometheus text page."""
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    lost = 0.0
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            labels = sample.labels
            if labels.get("model") != model:
                continue
            pair = (labels.get("version", ""), labels.get("against", ""))
            if sample.name in COUNTED:
                values[pair][COUNTED[sample.name]] += sample.value
                if labels.get("agree") == "true":
                    values[pair]["agreed"] += sample.value
            elif sample.name in LOST:
                lost += sample.value
    return ShadowCounts({pair: Comparison(**each) for pair, each in values.items()}, lost)
