"""A short selection of `make kills`: everything is killed once, and what was promised is counted."""

from __future__ import annotations

import os

import pytest

from tests.proofs.kills.killing import CACHE, CONTROLLER, ROUTER, STATE, WORKER, Kill, run_kills
from tests.proofs.kills.station import KillsStation

# Slower than in `make kills`: other tests run beside it.
RATE = 60.0


@pytest.mark.skipif(
    not os.environ.get("EKIBEN_TEST_ALL"),
    reason="half a minute: make test-all, EKIBEN_TEST_ALL=1, make kills",
)
async def test_every_accepted_outcome_is_counted_once_though_everything_is_killed() -> None:
    kills = [
        Kill((CONTROLLER, STATE), wait_s=1.2, down_s=0.2),
        Kill((WORKER,), wait_s=0.3, down_s=0.0),
        Kill((ROUTER, CACHE), wait_s=1.0, down_s=0.1),
    ]
    with KillsStation() as station:
        verdict, load, done = await run_kills(station, kills, RATE, seed=3)
        station.keep = bool(verdict.broken)
    assert verdict.broken == (), f"{verdict}; logs: {station.logs}"
    assert done == len(kills)
    assert verdict.counted_once > 20
    assert verdict.recorded > 50
    assert load.noted.requests > 10
