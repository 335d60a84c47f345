"""The wheels that the images install: a file for each pinned requirement, fetched or built once by this pip.

Only this machine's pip, with its own configuration, knows where packages come from; no image ever does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from ekiben.building.errors import CannotBuild


def collect(requirements: Iterable[str], house: Path, target: Path) -> None:
    """Put the wheel of each `name==version` into the folder `target`; those new to `house` are fetched first.

    What a requirement has after a semicolon is for the Python in the image to judge. Raises `CannotBuild`.
    """
    house.mkdir(parents=True, exist_ok=True)
    wanted = list(requirements)
    wheels = _wheels(house)
    if missing := [each for each in wanted if _key(each) not in wheels]:
        _fetch(missing, house)
        wheels = _wheels(house)
    target.mkdir(parents=True)
    for each in wanted:
        if _key(each) not in wheels:
            raise CannotBuild(f"pip gave no wheel for {each}")
        wheel = wheels[_key(each)]
        os.link(wheel, target / wheel.name)


def _key(requirement: str) -> tuple[str, str]:
    name, version = requirement.split(";")[0].split("==")
    return canonicalize_name(name), version.strip()


def _wheels(house: Path) -> dict[tuple[str, str], Path]:
    found: dict[tuple[str, str], Path] = {}
    for path in house.glob("*.whl"):
        name, version, _, _ = parse_wheel_filename(path.name)
        # 2.13.0+cpu is a build of 2.13.0.
        found[name, version.public] = path
    return found


def _fetch(requirements: list[str], house: Path) -> None:
    # The list is complete: what a package asks for besides (torch: CUDA) is not wanted.
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--no-deps", "-w", str(house)]
    done = subprocess.run([*pip, *(each.split(";")[0] for each in requirements)], check=False)  # noqa: S603
    if done.returncode != 0:
        raise CannotBuild("pip could not fetch the packages: see above")
