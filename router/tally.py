"""What one worker has counted of one version since it started: for its beat, as Prometheus' counters are
summed over the workers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Tally(msgspec.Struct, gc=False):
    """Counts, under the names of `state.beats.VersionBeat`."""

    seconds_buckets: list[int]
    seconds_sum: float = 0.0
    served: int = 0
    cached: int = 0
    fallback: int = 0
    refused: int = 0
    error: int = 0
    calls: int = 0
    call_rows: int = 0
    local_hits: int = 0
    redis_hits: int = 0
    redis_misses: int = 0
    shadow_compared: int = 0
    shadow_disagreed: int = 0
    shadow_dropped: int = 0
    shadow_failed: int = 0

    def answered(self, results: Mapping[str, int], buckets: Mapping[int, int], seconds: float) -> None:
        """Answers: how many of each result, how many in each bucket, how long all of them together took."""
        self.served += results.get("served", 0)
        self.cached += results.get("cached", 0)
        self.fallback += results.get("fallback", 0)
        for place, count in buckets.items():
            self.seconds_buckets[place] += count
        self.seconds_sum += seconds
