"""One station for all of these tests: it is whole again after each fault."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tests.proofs.faults.station import Station

# Longer than in `make faults`: beside other work two cores can take a second for what is no fault at all.
TIMEOUT_MS = 4000


@pytest.fixture(scope="package")
def station() -> Iterator[Station]:
    """Real processes; their logs are kept and named when a test fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Station(timeout_ms=TIMEOUT_MS) as station:
        yield station
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
