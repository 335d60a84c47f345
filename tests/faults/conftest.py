"""One station for all of these tests: it is whole again after each fault."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from tests.faults.station import Station


@pytest.fixture(scope="package")
def station() -> Iterator[Station]:
    """Real processes; their logs are kept and named when a test fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Station() as station:
        yield station
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
