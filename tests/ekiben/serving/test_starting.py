"""What a service insists on before it starts, and which model it starts with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bento_home import environment
from tests.ekiben.serving.conftest import BENTOML, ROOT, serving
from tests.ports import free_port


def refusal(home: Path, service: str, log: Path) -> str:
    """The output of a `bentoml serve` that must not start."""
    command = [BENTOML, "serve", service, "--host", "127.0.0.1", "--port", str(free_port())]
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=ROOT, env=environment(home), stdout=output, stderr=subprocess.STDOUT, timeout=60
        )
    assert done.returncode != 0
    return log.read_text()


@pytest.mark.parametrize(
    ("version", "file"),
    [("v1", "model.onnx"), ("v2", "model.skops"), ("v3", "model.safetensors"), ("v3", "model.json")],
)
def test_a_tampered_file_is_named_and_the_service_does_not_start(
    home: Path, tmp_path: Path, version: str, file: str
) -> None:
    copy = tmp_path / "home"
    shutil.copytree(home / "models" / f"credit_{version}", copy / "models" / f"credit_{version}")
    [path] = copy.glob(f"models/credit_{version}/*/{file}")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    output = refusal(copy, f"services.credit.{version}:CreditV{version[1]}", tmp_path / "log")
    [line] = [line for line in output.splitlines() if str(path) in line]
    assert "is not the file that was published" in line
    assert "Traceback" not in output


def test_a_file_that_is_gone_is_named(home: Path, tmp_path: Path) -> None:
    copy = tmp_path / "home"
    shutil.copytree(home / "models" / "credit_v1", copy / "models" / "credit_v1")
    [path] = copy.glob("models/credit_v1/*/model.onnx")
    path.unlink()
    assert f"{path} is missing" in refusal(copy, "services.credit.v1:CreditV1", tmp_path / "log")


def test_without_a_model_the_service_says_what_to_run(tmp_path: Path) -> None:
    output = refusal(tmp_path / "empty", "services.credit.v1:CreditV1", tmp_path / "log")
    assert "credit_v1:latest is not in the model store: run `ekiben train`" in output
    assert "Traceback" not in output


def test_a_bento_serves_the_model_it_was_built_with(
    home: Path, tmp_path: Path, applicant: dict[str, Any]
) -> None:
    copy = tmp_path / "home"
    shutil.copytree(home / "models" / "credit_v1", copy / "models" / "credit_v1")
    command = [BENTOML, "build", "-f", "bentos/credit_v1.yaml", "."]
    subprocess.run(command, cwd=ROOT, env=environment(copy), check=True, capture_output=True, timeout=120)
    tag = (copy / "bentos" / "credit_v1" / "latest").read_text()
    # A newer model, which would not start: whoever took the latest would be refused.
    [built_with] = (path for path in (copy / "models" / "credit_v1").iterdir() if path.is_dir())
    newer = built_with.with_name("newer")
    shutil.copytree(built_with, newer)
    (newer / "model.yaml").write_text(
        (built_with / "model.yaml").read_text().replace(f"version: {built_with.name}", "version: newer")
    )
    (newer / "model.onnx").write_bytes(b"no model")
    (copy / "models" / "credit_v1" / "latest").write_text("newer")
    with serving(copy, "credit_v1:latest", tmp_path / "log") as url:
        response = httpx.post(f"{url}/bulk", json=[applicant])
        assert response.headers["x-model-version"] == f"credit_v1:{tag}"
        assert "ok" in response.json()[0]
        assert httpx.get(f"{url}/model/info").json()["digest"].startswith(built_with.name)
