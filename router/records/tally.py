"""What one worker has counted of one version since it started: for its beat, as Prometheus' counters are
summed over the workers."""

from __future__ import annotations

from collections.abc import Mapping

from ekiben.state.beats import VersionCounts


class Tally(VersionCounts, gc=False):
    """The counts that are still growing."""

    def answered(self, results: Mapping[str, int], buckets: Mapping[int, int], seconds: float) -> None:
        """Answers: how many of each result, how many in each bucket, how long all of them together took."""
        self.served += results.get("served", 0)
        self.cached += results.get("cached", 0)
        self.fallback += results.get("fallback", 0)
        for place, count in buckets.items():
            self.seconds_buckets[place] += count
        self.seconds_sum += seconds
