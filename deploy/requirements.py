"""`python -m deploy.requirements` writes bentos/: each version's build file, and what each Bento installs.

The versions and what they run on are those of models.yaml. Which releases these are stands in
constraints.txt; what they need in turn is read from the packages installed beside this script.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from ekiben.building.build_file import build_file
from ekiben.building.errors import CannotBuild
from ekiben.building.requirements import locked as lines_of
from ekiben.building.requirements import of_service
from ekiben.project.models import read_models
from ekiben.project.names import stored_name

ROOT: Final = Path(__file__).parent.parent
BENTOS: Final = ROOT / "bentos"
FOLDER: Final = BENTOS / "requirements"

_ROUTER: Final = ("dependencies", "traces")
_CONTROLLER: Final = ("dependencies", "controller", "traces")
# Groups of pyproject.toml, and packages beside them. A `_process` is what an image starts (`python -m
# router`, `python -m ekiben.control`): it needs nothing of BentoML.
PROCESSES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "controller": (_CONTROLLER, ("bentoml",)),
    "controller_process": (_CONTROLLER, ()),
    "router": (_ROUTER, ("bentoml",)),
    "router_process": (_ROUTER, ()),
}

_HEADER: Final = "# Written by `make requirements` from constraints.txt: all that {name} installs.\n"


def pins(text: str) -> dict[str, str]:
    """The versions in a constraints file, by canonical name."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines if line)
    }


def needs() -> dict[str, list[str]]:
    """What each Bento and each process asks for itself: requirements as pip reads them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {"dependencies": project["dependencies"], **project["optional-dependencies"]}
    found = {
        name: [each for group in groups for each in listed[group]] + list(packages)
        for name, (groups, packages) in PROCESSES.items()
    }
    for model, its in read_models(ROOT).items():
        for version, one in its.versions.items():
            if one.bento:
                found[stored_name(model, version)] = of_service(one.requirements)
    return found


def locked(name: str) -> str:
    """The text of `bentos/requirements/{name}.txt`. Raises `CannotBuild`."""
    versions = pins((ROOT / "constraints.txt").read_text())
    lines = lines_of(needs()[name])
    for package, _, installed in (line.partition("==") for line in lines if ";" not in line):
        if package not in versions:
            raise CannotBuild(f"{package}, which {name} needs, has no version in constraints.txt")
        if installed != versions[package]:
            raise CannotBuild(
                f"{package} {installed} is installed, not {versions[package]}: run `make setup`"
            )
    return _HEADER.format(name=name) + "".join(f"{line}\n" for line in lines)


def build_files() -> dict[str, str]:
    """The text of the build file of each version that a Bento is built of, by the file's name in bentos/."""
    return {
        f"{stored_name(model, version)}.yaml": build_file(
            model, version, one, f"bentos/requirements/{stored_name(model, version)}.txt"
        )
        for model, its in read_models(ROOT).items()
        for version, one in its.versions.items()
        if one.bento
    }


def main() -> int:
    """Write all of them. Returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    try:
        for name, text in build_files().items():
            (BENTOS / name).write_text(text)
        for name in needs():
            text = locked(name)
            (FOLDER / f"{name}.txt").write_text(text)
            sys.stdout.write(f"bentos/requirements/{name}.txt: {len(text.splitlines()) - 1} packages\n")
    except CannotBuild as error:
        sys.stderr.write(f"requirements: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
