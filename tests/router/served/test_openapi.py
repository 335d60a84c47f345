"""schemathesis against our own OpenAPI and a running router: no 5xx, and what is documented holds."""

from __future__ import annotations

import subprocess
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.router.running import ModelServer, RouterProcess, ask, running_router, write_experiments

KEY = "s3cret-of-shop"
SERVER_ERRORS = 'ekiben_problems_total{status="5'
SCHEMATHESIS = Path(sysconfig.get_path("scripts")) / "schemathesis"


@pytest.fixture
async def state() -> AsyncIterator[str]:
    """The address of a real Redis: outcomes are kept there."""
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        server = RedisServer(Path(folder), "r", "--appendonly", "yes", "--appendfsync", "always")
        await server.start()
        yield server.url
        server.kill()


@pytest.fixture
def tried(folder: Path, state: str) -> Iterator[RouterProcess]:
    """A router over both versions."""
    with running_router(folder, max_body_bytes="4096", state_url=state) as router:
        yield router


def schemathesis(router: RouterProcess, *more: str) -> str:
    """Try every operation with what its schema allows and what it does not; the same requests every time."""
    ended = subprocess.run(
        [
            str(SCHEMATHESIS),
            "run",
            f"http://127.0.0.1:{router.port}/openapi.json",
            *("--checks", "all"),
            *("--max-examples", "60"),
            "--generation-deterministic",
            *("--request-timeout", "30"),
            "--no-color",
            *more,
        ],
        cwd=router.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    errors = [line for line in router.told() if line["level"] == "error"]
    assert errors == []
    return ended.stdout


def counted(router: RouterProcess, metric: str) -> float:
    """How many of these the router counted."""
    return sum(
        float(line.split()[-1])
        for line in ask(router.port, "/metrics").body.decode().splitlines()
        if line.startswith(metric)
    )


def test_what_is_documented_holds_and_nothing_is_a_5xx(tried: RouterProcess) -> None:
    before = counted(tried, SERVER_ERRORS)  # until it had experiments to route by it was not ready
    schemathesis(tried, "--exclude-path", "/outcomes")
    # It got past the door: there were predictions, and each kind of refusal.
    assert counted(tried, "ekiben_requests_total")
    for status in ("400", "404"):
        assert counted(tried, f'ekiben_problems_total{{status="{status}"}}')
    assert counted(tried, SERVER_ERRORS) == before


def test_it_holds_for_outcomes(folder: Path, state: str) -> None:
    with running_router(folder, state_url=state) as router:
        # No schema can say that a time lies in the past.
        before = counted(router, SERVER_ERRORS)
        only = ("--include-path", "/outcomes", "--exclude-checks", "positive_data_acceptance")
        schemathesis(router, *only, "--max-examples", "20")
        assert counted(router, "ekiben_outcomes_accepted_total")
        assert counted(router, SERVER_ERRORS) == before


def test_it_holds_behind_keys_too(folder: Path) -> None:
    with running_router(folder, api_keys=KEY) as router:
        more = ("--exclude-path", "/outcomes", "--max-examples", "20")
        schemathesis(router, "--header", f"Authorization: Bearer {KEY}", *more)
        assert counted(router, "ekiben_key_requests_total")


def test_it_holds_where_no_version_answers_but_for_the_5xx_that_are_documented(tmp_path: Path) -> None:
    service = ModelServer("v1")
    write_experiments(tmp_path, {"v1": service})
    service.close()
    with running_router(tmp_path) as router:
        more = ("--exclude-path", "/outcomes", "--max-examples", "20")
        schemathesis(router, "--exclude-checks", "not_a_server_error", *more)
        assert counted(router, 'ekiben_problems_total{status="502"}')
