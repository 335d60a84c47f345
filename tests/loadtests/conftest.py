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
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ekiben.state.embedded import EmbeddedRedis
from tests.loadtests.services import NAMES
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
# Generous: it is only ever reached when a test fails.
PATIENCE_S = 60.0


def _model(*urls: str, cache_ttl_s: int = 0) -> dict[str, Any]:
    versions = {f"v{number}": {"endpoints": [url]} for number, url in enumerate(urls, start=1)}
    return {"live": "v1", "timeout_ms": 20_000, "cache_ttl_s": cache_ttl_s, "versions": versions}


def document(services: Mapping[str, str]) -> dict[str, Any]:
    """Models on the services at these URLs, and an experiment on `credit`."""
    variants = {"control": {"version": "v1", "weight": 50}, "treatment": {"version": "v2", "weight": 50}}
    return {
        "models": {
            "credit": _model(services["v1"], services["v2"], cache_ttl_s=300),
            **{name: _model(services[name]) for name in ("slow", "crowd", "refuses")},
        },
        "experiments": {"credit-boosting": {"model": "credit", "status": "running", "variants": variants}},
    }


@contextlib.contextmanager
def running(
    module: str, log: Path, environ: Mapping[str, str], ready: Callable[[], bool], *arguments: str
) -> Iterator[None]:
    """`python -m module`, from when it is ready until it is ended."""
    with log.open("wb") as output:
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=dict(environ), stdout=output, stderr=output)
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


def router_is_ready(url: str, models: Iterable[str]) -> bool:
    """It routes, and knows what every service is."""
    described = [get(f"{url}/models/{model}") for model in models]
    return all(
        body is not None and all(version["info"] for version in body["versions"].values())
        for body in described
    )


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The URL of each service of `NAMES`."""
    log = tmp_path_factory.mktemp("services") / "services.log"
    ports = {name: str(free_port()) for name in NAMES}
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}

    def ready() -> bool:
        return get(f"{urls['liar']}/outcomes") is not None

    with running("tests.loadtests.services", log, os.environ, ready, *ports.values()):
        yield urls


@pytest.fixture(scope="session")
def router(services: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real router with a real Redis."""
    folder = tmp_path_factory.mktemp("router")
    experiments = folder / "experiments.yaml"
    served = document(services)
    experiments.write_text(json.dumps(served))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("EKIBEN_")}
    clean.pop("REDIS_URL", None)
    settings = {
        "EKIBEN_DATA_DIR": str(folder / "data"),
        "EKIBEN_EXPERIMENTS_FILE": str(experiments),
        "EKIBEN_PORT": str(port),
    }
    with (
        EmbeddedRedis(folder / "data"),
        running(
            "router",
            folder / "router.log",
            clean | settings,
            lambda: router_is_ready(url, served["models"]),
        ),
    ):
        yield url


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
