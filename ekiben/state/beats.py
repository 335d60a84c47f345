"""Beats: what each router worker writes about itself every second, through the state Redis.

A hash holds each worker's last beat, a sorted set beside it when that came, by Redis's own clock: the clocks
of the machines need not agree. Numbers count from the worker's start, so that a reader takes differences.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, cast

import msgspec
from redis.asyncio import Redis

from ekiben.experiments.problems import DocumentError, Path
from ekiben.state.connecting import state_answers

WORKERS_KEY: Final = "ekiben:workers"
SEEN_KEY: Final = "ekiben:workers:seen"
EVERY_S: Final = 1.0
IGNORED_AFTER_S: Final = 5.0
"""A worker whose last beat is older is taken for gone."""
_FORGOTTEN_AFTER_S: Final = 60

# KEYS: the hash, the sorted set. ARGV: the worker, its beat, seconds after which others are forgotten, the
# oldest age in seconds of who counts. Returns the workers that beat.
_WRITE: Final = """
local now = redis.call('TIME')
local at = now[1] + now[2] / 1000000
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], at, ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', at - ARGV[3], 'LIMIT', 0, 1000)
if #gone > 0 then
  redis.call('HDEL', KEYS[1], unpack(gone))
  redis.call('ZREM', KEYS[2], unpack(gone))
end
return redis.call('ZRANGEBYSCORE', KEYS[2], at - ARGV[4], '+inf')
"""
# KEYS as above. ARGV: the oldest age in seconds. Returns the beats.
_READ: Final = """
local now = redis.call('TIME')
local workers = redis.call('ZRANGEBYSCORE', KEYS[2], now[1] + now[2] / 1000000 - ARGV[1], '+inf')
if #workers == 0 then return {} end
return redis.call('HMGET', KEYS[1], unpack(workers))
"""


class FormerReaders(DocumentError):
    """Refused for as long as routers run that cannot read the document."""


class EndpointBeat(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as the worker sees it now."""

    url: str
    healthy: bool
    breaker: Literal["closed", "returning", "trial", "open"]
    calls_in_flight: int


class VersionCounts(msgspec.Struct, kw_only=True):
    """What one worker has counted of a version since it started."""

    served: int = 0
    cached: int = 0
    fallback: int = 0
    """Requests assigned to this version that live answered."""
    refused: int = 0
    error: int = 0
    seconds_buckets: list[int] = []
    """Answers (200) by their duration: one number for each of `Beat.seconds_bounds` (up to that bound and
    over the one before), and one for those over the last. Not summed up over the bounds."""
    seconds_sum: float = 0.0
    calls: int = 0
    call_rows: int = 0
    local_hits: int = 0
    redis_hits: int = 0
    redis_misses: int = 0
    shadow_compared: int = 0
    """Copies for which this version, as a shadow, answered."""
    shadow_disagreed: int = 0
    shadow_dropped: int = 0
    shadow_failed: int = 0

    @property
    def requests(self) -> int:
        """All requests assigned to this version."""
        return self.served + self.cached + self.fallback + self.refused + self.error


class VersionBeat(VersionCounts, kw_only=True):
    """A version in one worker: what it has counted, and how it is now."""

    queued: int = 0
    """Rows that wait for a call now."""
    endpoints: list[EndpointBeat] = []


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One router worker. `at`, `started_at`, `adopted_at` are seconds since 1970 by the worker's clock."""

    worker: str
    """Made when the worker starts: one that is started again is another."""
    host: str
    pid: int
    at: float
    started_at: float
    lineage: str | None
    """With `revision`: the experiments that it routes by, since `adopted_at`. None before the first."""
    revision: int | None
    adopted_at: float | None
    draining: bool
    reads_later: bool = False
    """It reads documents of later releases. 30e8d9b refuses one that has more than it knows."""
    loopback: bool
    """Only programs of its own machine reach it: it listens on loopback, answers to no other name, lets no
    web page of elsewhere ask, and has seen no outcomes that a proxy passed on."""
    outcomes_open: bool
    """Who reaches it may send outcomes: no API keys are set."""
    panic: list[str] = []
    seconds_bounds: list[float] = []
    versions: dict[str, VersionBeat] = {}
    """By `model/version`, those that it routes to now."""
    events_sent: int = 0
    events_dropped: int = 0
    events_waiting: int = 0
    """Exposures and shadow comparisons in its memory now."""
    outcomes_accepted: int = 0
    outcomes_refused: int = 0
    outcomes_waiting: int = 0
    """Outcomes that wait for Redis's disk now."""


class Beats:
    """The beats in one Redis. Every method raises `StateUnavailable` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._write = redis.register_script(_WRITE)
        self._read = redis.register_script(_READ)

    async def write(self, beat: Beat) -> list[str]:
        """Replace the worker's beat, and forget workers that have been silent for a minute. Returns the
        workers that beat now."""
        written = [beat.worker, msgspec.json.encode(beat), _FORGOTTEN_AFTER_S, IGNORED_AFTER_S]
        return [worker.decode() for worker in await self._run(self._write, written)]

    async def leave(self, worker: str) -> None:
        """Forget a worker that ends."""
        with state_answers():
            pipeline = self._redis.pipeline()
            pipeline.hdel(WORKERS_KEY, worker)
            pipeline.zrem(SEEN_KEY, worker)
            await pipeline.execute()

    async def read(self, within_s: float = IGNORED_AFTER_S) -> list[Beat]:
        """The last beats of the workers that run, sorted by host and process.

        What cannot be read is left out: while one release replaces another, workers may differ in what they
        write.
        """
        beats = []
        for held in cast("list[bytes | None]", await self._run(self._read, [within_s])):
            try:
                beats.append(msgspec.json.decode(held or b"", type=Beat))
            except ValueError:
                continue
        return sorted(beats, key=lambda beat: (beat.host, beat.pid, beat.started_at))

    async def check_readers(self, keys: Iterable[Path]) -> None:
        """Raise `FormerReaders` where a router runs that cannot read a document with these new keys."""
        former = [beat for beat in await self.read(_FORGOTTEN_AFTER_S) if not beat.reads_later]
        if former:
            routers = ", ".join(sorted({f"{beat.host} (process {beat.pid})" for beat in former}))
            reason = (
                f"routers of an earlier release run that cannot read it: {routers}. Replace them first. "
                f"It can be applied when they have ended, or {_FORGOTTEN_AFTER_S} s after they were killed"
            )
            raise FormerReaders.at((key, reason) for key in sorted(keys, key=str))

    async def _run(self, script: Any, arguments: list[Any]) -> Any:
        with state_answers():
            return await script(keys=[WORKERS_KEY, SEEN_KEY], args=arguments)


def quantile_s(bounds: list[float], buckets: list[int], share: float) -> float | None:
    """The duration in seconds that `share` of the answers stayed within, interpolated in its bucket as
    Prometheus' `histogram_quantile` does; the last bound for what is over it; None without answers."""
    total = sum(buckets)
    if not total:
        return None
    rank, below = share * total, 0
    for place, bound in enumerate(bounds):
        count = buckets[place]
        if count and below + count >= rank:
            lower = bounds[place - 1] if place else 0.0
            return lower + (bound - lower) * (rank - below) / count
        below += count
    return bounds[-1]
