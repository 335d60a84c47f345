"""The traffic of the last minutes, from beats."""

from __future__ import annotations

import pytest

from ekiben.control.traffic import WINDOW_S, TrafficWindow
from ekiben.state.beats import Beat, VersionBeat

BOUNDS = [0.01, 0.1, 1.0]


def beat(at: float, worker: str = "w1", **counts: object) -> Beat:
    return Beat(
        worker=worker,
        host="h",
        pid=1,
        at=at,
        started_at=0.0,
        lineage="l",
        revision=1,
        adopted_at=0.0,
        draining=False,
        loopback=True,
        outcomes_open=False,
        seconds_bounds=BOUNDS,
        versions={"credit/v1": VersionBeat(**counts)},  # type: ignore[arg-type]
    )


def test_what_a_worker_counted_before_it_was_seen_does_not_count() -> None:
    traffic = TrafficWindow().add([beat(1.0, served=1000)], 1.0)
    assert (traffic.total.requests, traffic.versions) == (0, ())


def test_counts_are_differences_summed_over_the_workers() -> None:
    window = TrafficWindow()
    window.add([beat(0.0, served=10), beat(0.0, "w2", served=100)], 0.0)
    traffic = window.add([beat(10.0, served=30, error=5), beat(10.0, "w2", served=115)], 10.0)
    (version,) = traffic.versions
    assert (version.model, version.version, version.requests, version.error) == ("credit", "v1", 40, 5)
    assert traffic.total.per_s == 4.0
    assert traffic.total.error_rate == 0.125
    assert traffic.per_s == (4.0,)


def test_a_worker_that_is_started_again_takes_nothing_away() -> None:
    window = TrafficWindow()
    window.add([beat(0.0, served=100)], 0.0)
    window.add([beat(2.0, served=110)], 2.0)
    window.add([beat(4.0, "w1-again", served=1)], 4.0)
    assert window.add([beat(6.0, "w1-again", served=4)], 6.0).total.requests == 13


def test_a_beat_that_is_read_twice_counts_once() -> None:
    window = TrafficWindow()
    window.add([beat(0.0)], 0.0)
    window.add([beat(1.0, served=7)], 1.0)
    assert window.add([beat(1.0, served=7)], 1.5).total.requests == 7


def test_latencies_and_cache_hits_are_of_the_window() -> None:
    window = TrafficWindow()
    window.add([beat(0.0, seconds_buckets=[0, 0, 0, 0])], 0.0)
    now = beat(1.0, served=100, seconds_buckets=[98, 0, 2, 0], local_hits=20, redis_hits=10, redis_misses=70)
    total = window.add([now], 1.0).total
    assert total.cache_hit_rate == pytest.approx(0.3)
    assert total.p50_ms == pytest.approx(10 * 50 / 98)
    assert total.p99_ms == pytest.approx(550)


def test_what_is_older_than_the_window_is_forgotten() -> None:
    window = TrafficWindow()
    window.add([beat(0.0)], 0.0)
    window.add([beat(1.0, served=50)], 1.0)
    late = WINDOW_S + 10
    assert window.add([beat(late, served=51)], late).total.requests == 1
