"""Real predictions, from the router's container to those of the versions."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.images.containers import Container
from tests.images.station import VERSIONS, Station, until


def predict(container: Container, user: str, features: dict[str, Any]) -> httpx.Response:
    return httpx.post(
        f"http://{container.address}:3000/predict/credit",
        json={"user_id": user, "features": features},
        timeout=10.0,
    )


def of(station: Station, name: str) -> Container:
    return next(each for key, each in station.containers.items() if key.startswith(name))


def test_every_version_answers_through_the_router_what_it_answers_directly(
    station: Station, applicants: list[dict[str, Any]]
) -> None:
    router = of(station, "ekiben-router")
    # Every worker of the router asks the versions for what they are first.
    until(lambda: predict(router, "u-0", applicants[0]).status_code == 200)
    direct = {}
    for version in VERSIONS:
        answer = httpx.post(
            f"http://{of(station, f'credit-{version}').address}:3000/bulk", json=applicants, timeout=10.0
        )
        direct[version] = answer.headers["x-model-version"], [item["ok"] for item in answer.json()]
    seen = set()
    for number, features in enumerate(applicants):
        answer = predict(router, f"u-{number}", features).json()
        model_version, expected = direct[answer["version"]]
        assert "fallback_from" not in answer
        assert answer["model_version"] == model_version
        got = answer["prediction"]
        assert abs(got["probability_bad"] - expected[number]["probability_bad"]) < 2e-6
        assert got["decision"] == expected[number]["decision"]
        seen.add(answer["version"])
    assert seen == set(VERSIONS)


def test_an_answer_is_repeated_from_redis_by_another_router(
    station: Station, applicants: list[dict[str, Any]]
) -> None:
    features = {**applicants[0], "amount": 1234.5}
    first = until(lambda: predict(of(station, "ekiben-router"), "u-cache", features)).json()
    other = station.ready(station.start_router())
    again = until(lambda: (got := predict(other, "u-cache", features)).status_code == 200 and got).json()
    assert again["cached"] is True
    assert (again["version"], again["prediction"]) == (first["version"], first["prediction"])


def test_the_router_waits_for_the_state_before_it_starts(station: Station) -> None:
    workload = station.workload("ekiben-router")
    (before,) = workload.pod["initContainers"]
    container = station.start("ekiben-router", container=before)
    assert container.wait(60) == 0, container.log.read_text()


def test_the_controller_records_what_was_served(station: Station, applicants: list[dict[str, Any]]) -> None:
    controller = of(station, "ekiben-controller")
    assert until(lambda: predict(of(station, "ekiben-router"), "u-0", applicants[0]).status_code == 200)
    files = "import pathlib; print(*pathlib.Path('/var/lib/ekiben/events').glob('kind=exposure/*/*.parquet'))"
    until(lambda: controller.run("/app/.venv/bin/python", "-c", files).stdout.strip(), controller)
    station.ready(controller, 3100)


def test_a_version_whose_one_worker_dies_ends_and_can_be_started_anew(station: Station) -> None:
    container = station.ready(station.start("credit-v1"))
    family = subprocess.run(
        ["ps", "-o", "pid=,ppid=,args=", "--ppid", str(container.pid)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    (worker,) = (line for line in family if "service" in line)
    os.kill(int(worker.split()[0]), signal.SIGKILL)
    container.wait(60)


def test_a_tampered_model_is_refused_in_one_line(station: Station, tmp_path: Path) -> None:
    root = station.images.root(str(station.workload("credit-v1").main["image"]))
    (model,) = root.glob("home/bentoml/bento/models/credit_v1/*/model.onnx")
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    tampered = tmp_path / "model.onnx"
    tampered.write_bytes(content)
    for folder in (tmp_path, *tmp_path.parents):  # its user comes in here
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    inside = f"/{model.relative_to(root)}"
    container = station.start("credit-v1", {inside: tampered})
    assert container.wait(60) != 0
    output = container.log.read_text()
    (line,) = (line for line in output.splitlines() if inside in line)
    assert "is not the file that was published" in line
    assert "Traceback" not in output
