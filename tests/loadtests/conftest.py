"""A running router over real services, and Locust beside it, each a process of its own.

Locust replaces much of the standard library when it is imported: never do that in the process of the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ekiben.state.embedded import EmbeddedRedis
from tests.loadtests.services import CROWD, LIAR, REFUSES, SLOW, V1, V2

ROOT = Path(__file__).parents[2]
ROUTER, MASTER = 13510, 13511
ROUTER_URL = f"http://127.0.0.1:{ROUTER}"
LIAR_URL = f"http://127.0.0.1:{LIAR}"

# Generous: it is only ever reached when a test fails.
PATIENCE_S = 60.0


def _model(port: int, **more: Any) -> dict[str, Any]:
    versions = {"v1": {"endpoints": [f"http://127.0.0.1:{port}"]}}
    return {"live": "v1", "timeout_ms": 20_000, "cache_ttl_s": 0, "versions": versions} | more


DOCUMENT = {
    "models": {
        "credit": _model(V1, cache_ttl_s=300)
        | {
            "versions": {
                "v1": {"endpoints": [f"http://127.0.0.1:{V1}"]},
                "v2": {"endpoints": [f"http://127.0.0.1:{V2}"]},
            }
        },
        "slow": _model(SLOW),
        "crowd": _model(CROWD),
        "refuses": _model(REFUSES),
    },
    "experiments": {
        "credit-boosting": {
            "model": "credit",
            "status": "running",
            "variants": {
                "control": {"version": "v1", "weight": 50},
                "treatment": {"version": "v2", "weight": 50},
            },
        }
    },
}


@contextlib.contextmanager
def running(module: str, log: Path, environ: Mapping[str, str], ready: Callable[[], bool]) -> Iterator[None]:
    """`python -m module`, from when it is ready until it is ended."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=ROOT, env=dict(environ), stdout=output, stderr=output
        )
    try:
        end = time.monotonic() + PATIENCE_S
        while not ready():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, f"{module} is not ready: {log.read_text()}"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def get(url: str) -> Any:
    """The JSON at `url`; None while nobody answers it with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return json.load(response)
    except (OSError, ValueError):
        return None


def router_is_ready() -> bool:
    """It routes, and knows what every service is."""
    described = [get(f"{ROUTER_URL}/models/{model}") for model in DOCUMENT["models"]]
    return all(
        body is not None and all(version["info"] for version in body["versions"].values())
        for body in described
    )


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    log = tmp_path_factory.mktemp("services") / "services.log"
    with running(
        "tests.loadtests.services", log, os.environ, lambda: get(f"{LIAR_URL}/outcomes") is not None
    ):
        yield


@pytest.fixture(scope="session")
def router(services: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real router with a real Redis."""
    folder = tmp_path_factory.mktemp("router")
    experiments = folder / "experiments.yaml"
    experiments.write_text(json.dumps(DOCUMENT))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EKIBEN_")}
    clean.pop("REDIS_URL", None)
    settings = {
        "EKIBEN_DATA_DIR": str(folder / "data"),
        "EKIBEN_EXPERIMENTS_FILE": str(experiments),
        "EKIBEN_PORT": str(ROUTER),
    }
    with (
        EmbeddedRedis(folder / "data"),
        running("router", folder / "router.log", clean | settings, router_is_ready),
    ):
        yield ROUTER_URL


Locust = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def locust(tmp_path: Path) -> Locust:
    """Run Locust as `make load` does, with its reports in `tmp_path`; all that it prints is its stdout."""

    def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            "loadtests/locustfile.py",
            "--headless",
            "--host",
            url,
        ]
        reports = ["--csv", str(tmp_path / "run"), "--html", str(tmp_path / "run.html")]
        return subprocess.run(
            [*command, *reports, *arguments],
            cwd=ROOT,
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
        )

    return run
