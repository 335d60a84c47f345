"""The traffic of the last minutes, from the differences between the router workers' beats."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from ekiben.state.beats import Beat, VersionBeat, quantile_s

WINDOW_S: Final = 300.0
_RESULTS: Final = ("served", "cached", "fallback", "refused", "error")
_CACHE: Final = ("local_hits", "redis_hits", "redis_misses")
_SHADOWS: Final = ("shadow_compared", "shadow_disagreed", "shadow_dropped", "shadow_failed")


class VersionTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """One version's requests within the window. Rates are a second, latencies in milliseconds."""

    model: str
    version: str
    requests: int = 0
    per_s: float = 0.0
    served: int = 0
    cached: int = 0
    fallback: int = 0
    refused: int = 0
    error: int = 0
    cache_hit_rate: float | None = None
    error_rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    shadow_compared: int = 0
    shadow_disagreed: int = 0
    shadow_dropped: int = 0
    shadow_failed: int = 0


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """All versions within the last `window_s` seconds, and their sum."""

    window_s: float = 0.0
    total: VersionTraffic = VersionTraffic(model="", version="")
    versions: tuple[VersionTraffic, ...] = ()
    per_s: tuple[float, ...] = ()
    """Requests a second in each of the last intervals between beats, oldest first."""


# Counts by their names, and numbers of answers by the places of their latency buckets.
_Counts = Counter[str | int]


class TrafficWindow:
    """Gathers beats. A worker that is seen for the first time begins to count with its second beat."""

    def __init__(self) -> None:
        self._last: dict[str, Beat] = {}
        self._increases: deque[tuple[float, dict[str, _Counts]]] = deque()  # until when, what of each version
        self._bounds: list[float] = []

    def add(self, beats: Sequence[Beat], now: float) -> Traffic:
        """Take the workers' beats as read at `now` (seconds since 1970) and return the window's traffic."""
        increase: dict[str, _Counts] = defaultdict(Counter)
        for beat in beats:
            before = self._last.get(beat.worker)
            if before is None or before.at == beat.at:
                continue
            self._bounds = beat.seconds_bounds
            for name, version in beat.versions.items():
                increase[name] += _counts(version) - _counts(before.versions.get(name, VersionBeat()))
        self._last = {beat.worker: beat for beat in beats}
        self._increases.append((now, increase))
        while self._increases[0][0] < now - WINDOW_S:
            self._increases.popleft()
        return self._traffic(now)

    def _traffic(self, now: float) -> Traffic:
        window_s = max(now - self._increases[0][0], 1e-9)
        together: dict[str, _Counts] = defaultdict(Counter)
        for _, increase in self._increases:
            for name, counts in increase.items():
                together[name].update(counts)
        everything = sum(together.values(), start=_Counts())
        return Traffic(
            window_s=window_s,
            total=self._version("/", everything, window_s),
            versions=tuple(
                self._version(name, counts, window_s) for name, counts in sorted(together.items())
            ),
            per_s=tuple(
                sum(map(_requests, increase.values())) / max(at - before, 1e-9)
                for (before, _), (at, increase) in pairwise(self._increases)
            ),
        )

    def _version(self, name: str, counts: _Counts, window_s: float) -> VersionTraffic:
        model, _, version = name.partition("/")
        requests = _requests(counts)
        hits = counts["local_hits"] + counts["redis_hits"]
        looked_up = hits + counts["redis_misses"]
        buckets = [counts[place] for place in range(len(self._bounds) + 1)]
        p50, p99 = (quantile_s(self._bounds, buckets, share) for share in (0.5, 0.99))
        return VersionTraffic(
            model=model,
            version=version,
            requests=requests,
            per_s=requests / window_s,
            cache_hit_rate=hits / looked_up if looked_up else None,
            error_rate=counts["error"] / requests if requests else None,
            p50_ms=None if p50 is None else p50 * 1000,
            p99_ms=None if p99 is None else p99 * 1000,
            **{count: counts[count] for count in (*_RESULTS, *_SHADOWS)},
        )


def _counts(version: VersionBeat) -> _Counts:
    counts = _Counts(dict(enumerate(version.seconds_buckets)))
    counts.update({count: getattr(version, count) for count in (*_RESULTS, *_CACHE, *_SHADOWS)})
    return counts


def _requests(counts: _Counts) -> int:
    return sum(counts[result] for result in _RESULTS)
