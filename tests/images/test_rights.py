"""What a container may do, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.images.containers import Container
from tests.images.seccomp import PROFILE
from tests.images.station import Station

NAMES = ("credit-v1", "credit-v2", "credit-v3", "ekiben-router", "ekiben-controller")

# Tries to make a file in every folder there is, and prints where it could.
_TRY_EVERYWHERE = """
import os, tempfile
for folder, below, _ in os.walk("/"):
    below[:] = [name for name in below if os.path.join(folder, name) not in ("/proc", "/sys")]
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        continue
    print(folder)
"""


@pytest.fixture(params=NAMES)
def container(station: Station, request: pytest.FixtureRequest) -> Container:
    return next(each for key, each in station.containers.items() if key.startswith(str(request.param)))


def status(container: Container) -> dict[str, str]:
    lines = Path(f"/proc/{container.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def test_its_process_is_not_roots_and_has_no_rights(container: Container) -> None:
    its = status(container)
    assert its["Uid"].split() == its["Gid"].split() == ["1034"] * 4
    assert {its[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {"0" * 16}
    assert its["NoNewPrivs"] == "1"


@pytest.mark.skipif(not PROFILE.exists(), reason=f"{PROFILE} is not here: containers-common brings it")
def test_its_system_calls_are_filtered(container: Container) -> None:
    assert status(container)["Seccomp"] == "2"


def test_it_can_write_to_its_volumes_and_nowhere_else(station: Station, container: Container) -> None:
    tried = container.run("/app/.venv/bin/python", "-c", _TRY_EVERYWHERE)
    assert tried.returncode == 0, tried.stderr
    written = {folder for folder in tried.stdout.split("\n") if folder}
    volumes = {"/tmp", "/dev/shm"}
    if container.name.startswith("ekiben-controller"):
        volumes.add("/var/lib/ekiben")
    outside = {each for each in written if not any(f"{each}/".startswith(f"{ok}/") for ok in volumes)}
    assert outside == set()
    assert volumes <= written


def test_its_health_check_agrees(station: Station, container: Container) -> None:
    name = next(name for name in NAMES if container.name.startswith(name))
    image = str(station.workload(name).main["image"])
    check: list[Any] = station.images.configuration(image)["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    done = container.run(*check[1:])
    assert done.returncode == 0, done.stderr


def test_its_health_check_fails_where_nothing_listens(container: Container) -> None:
    done = container.run("/app/.venv/bin/python", "-I", "/app/healthcheck.py", "NOT_SET", "9")
    assert done.returncode == 1
    assert done.stderr == ""
