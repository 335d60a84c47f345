"""For all tests: what `make test-fast` leaves out."""

from __future__ import annotations

import os
import sys
from typing import Final

import pytest

# What Python reports before it starts a process or a server listens, and before a port is handed out for one
# (https://docs.python.org/3.11/library/audit_events.html).
_STARTS: Final = frozenset({"os.fork", "os.posix_spawn", "os.system", "socket.bind", "subprocess.Popen"})
_WHY: Final = "it starts a process or a server, which a fast run does not"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="skip every test that starts a process or a server")


def pytest_configure(config: pytest.Config) -> None:
    """Let a fast run skip a test at the moment when it starts something, so that no list can be wrong."""
    if config.getoption("--fast"):
        sys.addaudithook(_skip_what_starts_something)


def _skip_what_starts_something(event: str, _: object) -> None:
    # pytest sets this variable while a test runs or is set up. Outside of tests xdist may start its workers.
    if event in _STARTS and "PYTEST_CURRENT_TEST" in os.environ:
        pytest.skip(_WHY)


@pytest.fixture(scope="session")
def not_fast(request: pytest.FixtureRequest) -> None:
    """For fixtures of libraries that do not take it well when they are kept from starting a process."""
    if request.config.getoption("--fast"):
        pytest.skip(_WHY)
