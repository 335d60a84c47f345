"""For all tests: what a fast run leaves out, a Redis, and which tests run in one process of several."""

from __future__ import annotations

import functools
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.bento_home import trained_home
from tests.redis_server import RedisServer

# What Python reports before it starts a process, before a server listens, and when `free_port` tries a port
# (https://docs.python.org/3.11/library/audit_events.html).
_STARTS: Final = frozenset({"os.fork", "os.posix_spawn", "os.system", "socket.bind", "subprocess.Popen"})
_WHY: Final = "it starts a process or a server, which a fast run does not"

# No deadline: a busy machine is slow. Derandomized: a run fails for what has changed, and never by luck.
hypothesis.settings.register_profile("whole", deadline=None, derandomize=True, max_examples=150)
hypothesis.settings.register_profile("fast", deadline=None, derandomize=True, max_examples=15)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="skip every test that starts a process or a server")


def pytest_configure(config: pytest.Config) -> None:
    """Let a fast run skip a test at the moment when it starts something, so that no list can be wrong."""
    fast = config.getoption("--fast")
    hypothesis.settings.load_profile("fast" if fast else "whole")
    if fast:
        sys.addaudithook(_skip_what_starts_something)


def _skip_what_starts_something(event: str, args: tuple[Any, ...]) -> None:
    # pytest sets this variable while a test runs or is set up. Outside of tests xdist may start its workers.
    if event in _STARTS and "PYTEST_CURRENT_TEST" in os.environ:
        if event == "socket.bind":
            args[0].close()  # nobody expects anything but an OSError here, and would close it
        pytest.skip(_WHY)


@pytest.fixture(scope="session")
def not_fast(request: pytest.FixtureRequest) -> None:
    """For fixtures of libraries that do not take it well when they are kept from starting a process."""
    if request.config.getoption("--fast"):
        pytest.skip(_WHY)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME with the three versions of `credit`, to be read only."""
    base = tmp_path_factory.getbasetemp()
    return trained_home(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short: that of a unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
async def redis(short_folder: Path) -> AsyncIterator[RedisServer]:
    """A real Redis, running and empty."""
    server = RedisServer(short_folder, "r")
    await server.start()
    yield server
    server.kill()


class _ByWhatIsShared(LoadScopeScheduling):
    """A scope is a file, or a folder whose conftest.py starts something for all of its tests."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if _shares(self.config.rootpath / folder) else file


@functools.cache
def _shares(folder: Path) -> bool:
    conftest = folder / "conftest.py"
    return conftest.exists() and re.search('scope="(package|session)"', conftest.read_text()) is not None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """`--dist=loadscope` has scopes of our own."""
    return _ByWhatIsShared(config, log) if config.getoption("dist") == "loadscope" else None
