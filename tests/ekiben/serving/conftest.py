"""A model store of its own, filled once, and real BentoML processes that serve from it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from tests.bento_home import environment
from tests.ports import free_port

ROOT = Path(__file__).parents[3]
BENTOML = Path(sys.executable).with_name("bentoml")
JSON = {"content-type": "application/json"}

Serve = Callable[..., Any]


class OneField(BaseModel):
    """A prediction of one number, whatever it is."""

    value: float


@contextmanager
def serving(home: Path, service: str, log: Path) -> Iterator[str]:
    """`bentoml serve`, ready; its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [BENTOML, "serve", service, "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(home), stdout=output, stderr=subprocess.STDOUT
        )
        try:
            _wait_until_ready(process, url, log)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not ready:\n{log.read_text()}")


@pytest.fixture(scope="session")
def v1_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What v1 writes to standard output and standard error."""
    return tmp_path_factory.mktemp("v1") / "log"


@pytest.fixture(scope="session")
def v1(home: Path, v1_log: Path) -> Iterator[str]:
    with serving(home, "services.credit.v1:CreditV1", v1_log) as url:
        yield url


@pytest.fixture(scope="session")
def v2(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(home, "services.credit.v2:CreditV2", tmp_path_factory.mktemp("v2") / "log") as url:
        yield url


@pytest.fixture(scope="session")
def v3(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(home, "services.credit.v3:CreditV3", tmp_path_factory.mktemp("v3") / "log") as url:
        yield url


@pytest.fixture(scope="session")
def applicants() -> list[dict[str, Any]]:
    """The held-out applicants, as JSON has them."""
    lines = (ROOT / "training" / "data" / "held_out.jsonl").read_text().splitlines()
    return [json.loads(line)["features"] for line in lines]


@pytest.fixture(scope="session")
def applicant(applicants: list[dict[str, Any]]) -> dict[str, Any]:
    """One of them, with nothing missing."""
    return next(row for row in applicants if None not in row.values())
