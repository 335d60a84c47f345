"""The traffic of the last minutes, from the differences between the router workers' beats."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from ekiben.state.beats import Beat, VersionBeat, quantile_s

WINDOW_S: Final = 300.0
_COUNTS: Final = (
    "served", "cached", "fallback", "refused", "error", "local_hits", "redis_hits", "redis_misses",
    "shadow_compared", "shadow_disagreed", "shadow_dropped", "shadow_failed",
)  # fmt: skip


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


class _Increase:
    """What was added within an interval: counts by version, and their latency buckets."""

    __slots__ = ("at", "counts")

    def __init__(self, at: float) -> None:
        self.at = at
        self.counts: dict[str, tuple[list[int], list[int]]] = {}

    def add(self, name: str, counts: list[int], buckets: list[int]) -> None:
        held = self.counts.get(name)
        if held is None:
            self.counts[name] = counts, buckets
        else:
            self.counts[name] = _sum(held[0], counts), _sum(held[1], buckets)

    @property
    def requests(self) -> int:
        return sum(sum(counts[:5]) for counts, _ in self.counts.values())


class TrafficWindow:
    """Gathers beats. A worker that is seen for the first time begins to count with its second beat."""

    def __init__(self) -> None:
        self._last: dict[str, Beat] = {}
        self._increases: deque[_Increase] = deque()
        self._bounds: list[float] = []

    def add(self, beats: Sequence[Beat], now: float) -> Traffic:
        """Take the workers' beats as read at `now` (seconds since 1970) and return the window's traffic."""
        increase = _Increase(now)
        for beat in beats:
            before = self._last.get(beat.worker)
            if before is None or before.at == beat.at:
                continue
            self._bounds = beat.seconds_bounds
            for name, version in beat.versions.items():
                old = before.versions.get(name, VersionBeat())
                increase.add(
                    name,
                    [getattr(version, count) - getattr(old, count) for count in _COUNTS],
                    _difference(version.seconds_buckets, old.seconds_buckets),
                )
        self._last = {beat.worker: beat for beat in beats}
        self._increases.append(increase)
        while self._increases[0].at < now - WINDOW_S:
            self._increases.popleft()
        return self._traffic(now)

    def _traffic(self, now: float) -> Traffic:
        window_s = max(now - self._increases[0].at, 1e-9)
        together = _Increase(now)
        everything = _Increase(now)
        for increase in self._increases:
            for name, (counts, buckets) in increase.counts.items():
                together.add(name, counts, buckets)
                everything.add("/", counts, buckets)
        versions = tuple(
            self._version(name, counts, buckets, window_s)
            for name, (counts, buckets) in sorted(together.counts.items())
        )
        total = VersionTraffic(model="", version="")
        if "/" in everything.counts:
            total = self._version("/", *everything.counts["/"], window_s)
        times = [increase.at for increase in self._increases]
        per_s = tuple(
            increase.requests / max(increase.at - before, 1e-9)
            for increase, before in zip(list(self._increases)[1:], times, strict=False)
        )
        return Traffic(window_s=window_s, total=total, versions=versions, per_s=per_s)

    def _version(self, name: str, counts: list[int], buckets: list[int], window_s: float) -> VersionTraffic:
        model, _, version = name.partition("/")
        of = dict(zip(_COUNTS, counts, strict=True))
        requests = sum(counts[:5])
        hits = of.pop("local_hits") + of.pop("redis_hits")
        looked_up = hits + of.pop("redis_misses")
        p50, p99 = (quantile_s(self._bounds, buckets, share) if buckets else None for share in (0.5, 0.99))
        return VersionTraffic(
            model=model,
            version=version,
            requests=requests,
            per_s=requests / window_s,
            cache_hit_rate=hits / looked_up if looked_up else None,
            error_rate=of["error"] / requests if requests else None,
            p50_ms=None if p50 is None else p50 * 1000,
            p99_ms=None if p99 is None else p99 * 1000,
            **of,
        )


def _sum(first: list[int], second: list[int]) -> list[int]:
    if not first or not second:
        return first or second
    return [a + b for a, b in zip(first, second, strict=True)]


def _difference(now: list[int], before: list[int]) -> list[int]:
    if not before:
        return now
    return [max(a - b, 0) for a, b in zip(now, before, strict=True)]
