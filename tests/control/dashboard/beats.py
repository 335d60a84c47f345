"""What two router workers would tell of themselves."""

from __future__ import annotations

from ekiben.state.beats import Beat, EndpointBeat, VersionBeat
from ekiben.state.documents.document import Stored

BOUNDS = [0.002, 0.004, 0.006, 0.01, 0.02, 0.05, 0.1]
_SHARES = (0.31, 0.4, 0.17, 0.08, 0.03, 0.008, 0.0015, 0.0005)
# Requests a second of each version in one worker.
_RATES = {"credit/v1": 96.0, "credit/v2": 88.0, "churn/v1": 31.0, "churn/v2": 12.0, "fraud/v1": 44.0}


def beat_of(place: int, stored: Stored | None, begun: float, now: float) -> Beat:
    """The beat of worker `place`, whose requests have come evenly since `begun`, but for a slow wave."""
    lasted = now - begun
    versions = {}
    for name, rate in _RATES.items():
        requests = int(lasted * rate * (1.1 if place else 1.0))
        cached, error, fallback = int(requests * 0.42), int(requests * 0.0007), int(requests * 0.0012)
        model, _, version = name.partition("/")
        port = {"credit": 3000, "churn": 3003, "fraud": 3006}[model] + int(version[1:])
        breaker = "trial" if name == "churn/v2" and place else "closed"
        versions[name] = VersionBeat(
            served=requests - cached - error - fallback,
            cached=cached,
            fallback=fallback,
            error=error,
            seconds_buckets=[int(requests * share) for share in _SHARES],
            seconds_sum=requests * 0.004,
            local_hits=int(requests * 0.2),
            redis_hits=int(requests * 0.22),
            redis_misses=int(requests * 0.58),
            endpoints=[
                EndpointBeat(
                    url=f"http://127.0.0.1:{port}",
                    healthy=breaker == "closed",
                    breaker=breaker,  # type: ignore[arg-type]
                    calls_in_flight=1,
                )
            ],
        )
    return Beat(
        worker=f"worker-{place}",
        host="station",
        pid=4_210 + place,
        at=now,
        started_at=begun,
        lineage=stored.lineage if stored else None,
        revision=stored.revision if stored else None,
        adopted_at=begun,
        draining=False,
        loopback=True,
        outcomes_open=False,
        seconds_bounds=BOUNDS,
        versions=versions,
        events_waiting=3 * place,
    )
