"""The router's Prometheus metrics. Labels are bounded: models, versions and fixed words."""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Sequence
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

from ekiben.process.http.protocol import BoundedProtocol
from ekiben.state.beats import VersionCounts

_FLUSH_S: Final = 0.050
_SHARED_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_RESULTS: Final = ("served", "cached", "fallback", "refused", "error")
Mode = Literal["livesum", "liveall", "livemin", "livemax"]
_ROWS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _Histogram(Histogram):
    """A histogram that takes many observations at the price of one."""

    def observe_all(self, amounts: Sequence[float]) -> tuple[float, Counts[int]]:
        """Returns their sum, and how many fell into which bucket."""
        self._raise_if_not_observable()  # type: ignore[no-untyped-call]
        together = sum(amounts)
        self._sum.inc(together)
        places = Counts(bisect_left(self._upper_bounds, amount) for amount in amounts)
        for place, count in places.items():
            self._buckets[place].inc(count)
        return together, places


class Metrics:
    """Every metric of the router. `docs/metrics.md` describes them."""

    def __init__(self) -> None:
        if _SHARED_DIRECTORY in os.environ:
            # By default each count asks the kernel for the process id, a tenth of a cached answer's time.
            process = os.getpid()
            values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]
        registry = self.registry = CollectorRegistry()

        def counter(name: str, what: str, *labels: str) -> Counter:
            return Counter(name, what, labels, registry=registry)

        def histogram(name: str, what: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> _Histogram:
            return _Histogram(name, what, labels, buckets=buckets, registry=registry)

        of_version = ("model", "version")
        against = (*of_version, "against")
        self.requests = counter(
            "ekiben_requests_total",
            "Prediction requests by the version they were assigned and what became of them",
            *of_version,
            "result",  # one of _RESULTS
        )
        self.request_seconds = histogram(
            "ekiben_request_seconds", "From the parsed request to the answer's last byte", *of_version
        )
        self.in_flight = self.gauge(
            "ekiben_requests_in_flight",
            "Prediction requests that wait for their version, as it was a moment ago",
            *of_version,
        )
        self.problems = counter("ekiben_problems_total", "Answers that were a problem, by status", "status")
        self.key_requests = counter(
            "ekiben_key_requests_total",
            "Admitted requests by the first 12 hex digits of the key's SHA-256",
            "key",
        )
        self.key_refusals = counter("ekiben_key_refusals_total", "Requests turned away at the door", "reason")
        self.connections_ended = counter(
            "ekiben_connections_ended_total", "Connections that the server ended, by reason", "reason"
        )
        self.batch_rows = histogram("ekiben_batch_rows", "Rows of a bulk call", *of_version, buckets=_ROWS)
        self.call_seconds = histogram("ekiben_call_seconds", "Duration of a bulk call", *of_version)
        self.queue_seconds = histogram(
            "ekiben_queue_seconds", "How long rows waited until a batch took them", *of_version
        )
        self.cache_look_ups = counter(
            "ekiben_cache_look_ups_total",
            "Cache look-ups by tier (local, redis) and result (hit, miss)",
            *of_version,
            "tier",
            "result",
        )
        self.cache_failures = counter("ekiben_cache_failures_total", "What went wrong with the cache", "what")
        self.shadow_comparisons = counter(
            "ekiben_shadow_comparisons_total",
            "Shadow answers compared with the one that was served",
            *against,
            "agree",
        )
        self.shadow_difference = Summary(
            "ekiben_shadow_score_difference",
            "Absolute difference of the scores, shadow against served",
            against,
            registry=registry,
        )
        self.shadow_dropped = counter(
            "ekiben_shadow_dropped_total", "Shadow copies that found no room", *of_version
        )
        self.shadow_failed = counter(
            "ekiben_shadow_failed_total", "Shadow copies without an answer", *of_version
        )
        self.second_answers_lost = counter(
            "ekiben_second_answers_lost_total",
            "Requests without the second answer that an experiment compares",
            *of_version,
            "reason",  # refused | failed | late | full
        )
        self.events_sent = counter("ekiben_events_sent_total", "Events that Redis has")
        self.events_dropped = counter("ekiben_events_dropped_total", "Events that found no room")
        self.event_blocks_trimmed = counter(
            "ekiben_event_blocks_trimmed_total", "Blocks trimmed before they were recorded"
        )
        self.outcomes_accepted = counter(
            "ekiben_outcomes_accepted_total", "Outcomes that were answered with 202"
        )
        self.outcome_blocks = counter(
            "ekiben_outcome_blocks_total", "Blocks of outcomes that Redis has on disk"
        )
        self.outcome_seconds = histogram(
            "ekiben_outcome_seconds", "From a request's outcomes until they are on disk"
        )
        self.outcome_refusals = counter(
            "ekiben_outcome_refusals_total",
            "Requests with outcomes that were not answered with 202",
            "reason",  # invalid | full | unavailable
        )
        self.loop_lag = histogram(
            "ekiben_router_loop_lag_seconds",
            "How late a timer of 10 ms rang: what everything in the worker waited",
        )
        self.revision = self.gauge(
            "ekiben_snapshot_revision",
            "Revision of the experiments that this worker routes by",
            mode="liveall",
        )
        self.outcomes_here = self.outcome_refusals_here = 0
        self._versions: dict[tuple[str, str], VersionMetrics] = {}
        self._ended = BoundedProtocol.ended.copy()

    def gauge(self, name: str, what: str, *labels: str, mode: Mode = "livesum") -> Gauge:
        """A further gauge. Over the workers that are alive it is their sum, their least or most, or each."""
        return Gauge(name, what, labels, registry=self.registry, multiprocess_mode=mode)

    def version(self, model: str, version: str) -> VersionMetrics:
        """The metrics of a version, the same ones each time."""
        held = self._versions.get((model, version))
        if held is None:
            held = self._versions[model, version] = VersionMetrics(self, model, version)
        return held

    def flush(self) -> None:
        """Write on what the versions have counted. In the event loop, like all counting."""
        for version in self._versions.values():
            version.flush()
        if BoundedProtocol.ended != self._ended:
            for reason, count in (BoundedProtocol.ended - self._ended).items():
                self.connections_ended.labels(reason).inc(count)
            self._ended = BoundedProtocol.ended.copy()

    async def settle(self) -> None:
        """Flush, and give the other workers the time to: what was answered is in what is rendered next."""
        self.flush()
        if _SHARED_DIRECTORY in os.environ:
            await asyncio.sleep(2 * _FLUSH_S)

    async def run(self) -> None:
        """Flush every 50 ms until cancelled."""
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.flush()

    def render(self) -> bytes:
        """The exposition text: this worker's metrics, or all workers' where they share a directory."""
        if _SHARED_DIRECTORY not in os.environ:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def outcomes_written(self, outcomes: int, waited_s: Sequence[float]) -> None:
        """A block of outcomes is on disk; so long its requests have waited."""
        self.outcomes_here += outcomes
        self.outcomes_accepted.inc(outcomes)
        self.outcome_blocks.inc()
        self.outcome_seconds.observe_all(waited_s)

    def outcomes_turned_away(self, reason: str) -> None:
        """A request with outcomes was refused."""
        self.outcome_refusals_here += 1
        self.outcome_refusals.labels(reason).inc()


class VersionMetrics:
    """The metrics of one version. What every answer counts is counted here and written on by `flush`.

    Writing a count into the files that the workers share costs as much as reading the request.
    """

    def __init__(self, metrics: Metrics, model: str, version: str) -> None:
        self.tally = VersionCounts(seconds_buckets=[0] * (len(SECONDS) + 1))
        self._results = {result: metrics.requests.labels(model, version, result) for result in _RESULTS}
        self.in_flight = 0
        """Requests that wait for this version now. Those that this worker's own cache answers never wait."""
        self._in_flight = metrics.in_flight.labels(model, version)
        self._in_flight_shown = 0
        self._seconds = metrics.request_seconds.labels(model, version)
        self._local_hits = metrics.cache_look_ups.labels(model, version, "local", "hit")
        self._hits = metrics.cache_look_ups.labels(model, version, "redis", "hit")
        self._misses = metrics.cache_look_ups.labels(model, version, "redis", "miss")
        self._rows = metrics.batch_rows.labels(model, version)
        self._call = metrics.call_seconds.labels(model, version)
        self._queue = metrics.queue_seconds.labels(model, version)
        self._waits: list[float] = []
        self._answers: list[tuple[str, bool, float]] = []

    def answered(self, result: str, local: bool, seconds: float) -> None:
        """An answer was sent: served, cached or fallback, from this worker's own cache or not."""
        self._answers.append((result, local, seconds))

    def count(self, result: str, requests: int = 1) -> None:
        """So many requests had this result."""
        setattr(self.tally, result, getattr(self.tally, result) + requests)
        self._results[result].inc(requests)

    def flush(self) -> None:
        """Write on what was counted since the last time."""
        if self.in_flight != self._in_flight_shown:
            self._in_flight_shown = self.in_flight
            self._in_flight.set(self.in_flight)
        if self._waits:
            waits, self._waits = self._waits, []
            self._queue.observe_all(waits)
        answers, self._answers = self._answers, []
        if not answers:
            return
        for result, requests in Counts(result for result, _, _ in answers).items():
            self.count(result, requests)
        local_hits = sum(local for _, local, _ in answers)
        self._local_hits.inc(local_hits)
        together, buckets = self._seconds.observe_all([seconds for _, _, seconds in answers])
        self.tally.local_hits += local_hits
        self.tally.seconds_sum += together
        for place, count in buckets.items():
            self.tally.seconds_buckets[place] += count

    def waited(self, seconds: Sequence[float]) -> None:
        """A batch took these rows from the queue; so long each has waited."""
        self._waits += seconds

    def batch(self, rows: int, call_s: float) -> None:
        """A bulk call came back."""
        self.tally.calls += 1
        self.tally.call_rows += rows
        self._rows.observe(rows)
        self._call.observe(call_s)

    def looked_up(self, hits: int, misses: int) -> None:
        """A look-up in Redis came back."""
        self.tally.redis_hits += hits
        self.tally.redis_misses += misses
        self._hits.inc(hits)
        self._misses.inc(misses)
