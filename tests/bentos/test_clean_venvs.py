"""`bentoml serve` of each Bento, in a clean venv of its own requirements, from another folder.

Minutes and gigabytes: only `make bentos-test` runs these.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deploy.requirements import FOLDER
from tests.bento_home import environment
from tests.bentos.building import ROOT, newest
from tests.ports import free_port
from tests.redis_server import RedisServer

pytestmark = pytest.mark.skipif(
    os.environ.get("EKIBEN_BENTOS_TEST") != "1", reason="`make bentos-test` runs these"
)

VERSIONS = ["credit_v1", "credit_v2", "credit_v3"]


@contextmanager
def clean_venv(folder: Path, name: str) -> Iterator[Path]:
    """A venv with what bentos/requirements/{name}.txt says and nothing else; removed afterwards. Its bin/."""
    venv = folder / f"venv-{name}"
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--progress-bar", "off"]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([*pip, "-r", str(FOLDER / f"{name}.txt")], check=True, cwd=folder)
        yield venv / "bin"
    finally:
        shutil.rmtree(venv, ignore_errors=True)


@contextmanager
def serving(
    command: list[str], folder: Path, environ: Mapping[str, str], within: Path | None = None
) -> Iterator[str]:
    """`bentoml serve …` in the folder `within`, by default its log's, ready; its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=within or folder, env={**environ}, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        until(lambda: answers(f"{url}/readyz"), process, log)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def until(what: Callable[[], Any], process: subprocess.Popen[bytes], log: Path) -> Any:
    """Wait until it is true and return it; a process that ended fails with its last words."""
    deadline = time.monotonic() + 90
    while not (found := what()):
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)
    return found


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def redis(short_folder: Path) -> Iterator[str]:
    server = RedisServer(short_folder, "state")  # of one test: a router fills it from its file only once
    asyncio.run(server.start())
    yield server.url
    server.kill()


@pytest.fixture
def applicant() -> dict[str, Any]:
    line = (ROOT / "training" / "data" / "held_out.jsonl").read_text().splitlines()[0]
    return dict(json.loads(line)["features"])


@pytest.mark.parametrize("name", VERSIONS)
def test_a_version_predicts(whole_home: Path, tmp_path: Path, name: str, applicant: dict[str, Any]) -> None:
    with clean_venv(tmp_path, name) as folder:
        command = [str(folder / "bentoml"), "serve", f"{name}:latest"]
        with serving(command, tmp_path, environment(whole_home)) as url:
            bulk = httpx.post(f"{url}/bulk", json=[applicant], timeout=10)
            assert "ok" in bulk.json()[0]
            assert bulk.headers["x-model-version"] == f"{name}:{newest(whole_home, name).name}"
            assert (
                httpx.post(f"{url}/predict", json={"instances": [applicant]}, timeout=10).status_code == 200
            )


@pytest.mark.parametrize("name", VERSIONS)
def test_a_versions_bento_says_what_is_in_it(whole_home: Path, name: str) -> None:
    bento = yaml.safe_load((newest(whole_home, name) / "bento.yaml").read_text())
    (service,) = bento["services"]
    (packed,) = service["models"]
    model, version = packed["tag"].split(":")
    stored = yaml.safe_load((whole_home / "models" / model / version / "model.yaml").read_text())
    labels = bento["labels"]
    assert set(labels) == {"data_digest", "framework", "git_revision", "model", "version"}
    assert labels["data_digest"] == stored["metadata"]["data_digest"]
    assert labels["framework"] == stored["metadata"]["framework"]
    source = newest(whole_home, name) / "src"
    assert {path.name for path in source.iterdir()} == {"bentofile.yaml", "ekiben", "services"}


def router_settings(folder: Path, redis: str, version: str) -> dict[str, str]:
    document = {
        "models": {"credit": {"live": "v1", "timeout_ms": 5000, "versions": {"v1": {"endpoints": [version]}}}}
    }
    (folder / "experiments.yaml").write_text(yaml.safe_dump(document))
    return {
        "REDIS_URL": redis,
        "EKIBEN_DATA_DIR": str(folder / "data"),
        "EKIBEN_EXPERIMENTS_FILE": str(folder / "experiments.yaml"),
    }


def predict(url: str, applicant: dict[str, Any]) -> None:
    """Ask for a prediction, which has to come."""
    body = {"user_id": "u-1", "features": applicant}
    answer = httpx.post(f"{url}/predict/credit", json=body, timeout=10)
    assert answer.status_code == 200, answer.text


def test_the_routers_bento_routes(
    whole_home: Path, tmp_path: Path, redis: str, applicant: dict[str, Any]
) -> None:
    version = [str(Path(sys.executable).with_name("bentoml")), "serve", "credit_v1:latest"]
    with (
        serving(version, tmp_path, environment(whole_home)) as endpoint,
        clean_venv(tmp_path, "router") as folder,
    ):
        command = [str(folder / "bentoml"), "serve", "ekiben_router:latest"]
        environ = environment(whole_home) | router_settings(tmp_path, redis, endpoint)
        with serving(command, tmp_path, environ) as url:
            predict(url, applicant)


def test_bentoml_serve_in_the_root_of_the_repository_serves_the_router(
    whole_home: Path, tmp_path: Path, redis: str, applicant: dict[str, Any]
) -> None:
    program = str(Path(sys.executable).with_name("bentoml"))
    version = [program, "serve", "credit_v1:latest"]
    with serving(version, tmp_path, environment(whole_home)) as endpoint:
        environ = environment(whole_home) | router_settings(tmp_path, redis, endpoint)
        with serving([program, "serve"], tmp_path, environ, within=ROOT) as url:
            predict(url, applicant)


def test_the_controllers_bento_is_ready(whole_home: Path, tmp_path: Path, redis: str) -> None:
    environ = environment(whole_home) | {"REDIS_URL": redis, "EKIBEN_DATA_DIR": str(tmp_path / "data")}
    with clean_venv(tmp_path, "controller") as folder:
        command = [str(folder / "bentoml"), "serve", "ekiben_controller:latest"]
        with serving(command, tmp_path, environ) as url:
            assert httpx.get(f"{url}/api/nothing", timeout=10).status_code in (401, 404)
