"""`python -m deploy.requirements`: writes bentos/requirements/*.txt, all that each Bento installs, pinned.

What a Bento needs is here; which versions those are stands in constraints.txt; what these need in turn is
read from the packages installed beside this script. No index is asked or named: two runs write the same.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "bentos" / "requirements"

_ROUTER: Final = ("dependencies", "traces")
_CONTROLLER: Final = ("dependencies", "controller", "traces")
_SERVICE: Final = ("bentoml", "httptools", "numpy", "orjson", "uvloop")
# Groups of pyproject.toml, and packages beside them. What may be traced has the exporter. A `_process` is
# what an image starts (`python -m router`, `python -m ekiben.control`): it needs nothing of BentoML.
NEEDS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "controller": (_CONTROLLER, ("bentoml",)),
    "controller_process": (_CONTROLLER, ()),
    "credit_v1": (("traces",), (*_SERVICE, "onnxruntime")),
    "credit_v2": (("traces",), (*_SERVICE, "onnxruntime")),
    "credit_v3": (("traces",), (*_SERVICE, "safetensors", "torch")),
    "router": (_ROUTER, ("bentoml",)),
    "router_process": (_ROUTER, ()),
}

# torch's build for graphics cards asks for gigabytes of these; the build for processors runs without.
_CUDA: Final = re.compile(r"(nvidia|cuda)-(?!ml-py)|triton$")

# By the package that asks for it: what this Python does not need and an earlier 3.11 (Debian 12) does.
EARLIER: Final[Mapping[str, str]] = {"redis": 'async-timeout==5.0.1; python_full_version < "3.11.3"'}

_HEADER: Final = "# Written by `make requirements` from constraints.txt: all that {name} installs.\n"


class Unpinned(Exception):
    """A package that is needed, and has no version in constraints.txt or is not installed in that version."""


def pins(text: str) -> dict[str, str]:
    """The versions in a constraints file, by canonical name."""
    lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return {
        canonicalize_name(name): version for name, version in (line.split("==") for line in lines if line)
    }


def direct(name: str) -> list[str]:
    """What the Bento `name` asks for itself: requirements as pip reads them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {"dependencies": project["dependencies"], **project["optional-dependencies"]}
    groups, packages = NEEDS[name]
    return [each for group in groups for each in listed[group]] + list(packages)


def closure(requirements: list[str]) -> set[str]:
    """The canonical names of the packages that these requirements install. Raises `Unpinned`."""
    todo = [Requirement(each) for each in requirements]
    seen: set[tuple[str, str]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                needs = metadata.requires(name) or []
            except metadata.PackageNotFoundError:
                raise Unpinned(f"{name} is not installed here: run `make setup`") from None
            for need in map(Requirement, needs):
                wanted = need.marker is None or need.marker.evaluate({"extra": extra})
                if wanted and not (name == "torch" and _CUDA.match(canonicalize_name(need.name))):
                    todo.append(need)
    return {name for name, _ in seen}


def locked(name: str) -> str:
    """The text of `bentos/requirements/{name}.txt`. Raises `Unpinned`."""
    versions = pins((ROOT / "constraints.txt").read_text())
    names = closure(direct(name))
    lines = [f"{line}\n" for package, line in EARLIER.items() if package in names]
    for package in sorted(names):
        if package not in versions:
            raise Unpinned(f"{package}, which {name} needs, has no version in constraints.txt")
        installed = metadata.version(package).split("+")[0]
        if installed != versions[package]:
            raise Unpinned(f"{package} {installed} is installed, not {versions[package]}: run `make setup`")
        lines.append(f"{package}=={versions[package]}\n")
    return _HEADER.format(name=name) + "".join(sorted(lines))


def main() -> int:
    """Write all of them. Returns the exit code."""
    FOLDER.mkdir(exist_ok=True)
    for name in NEEDS:
        try:
            text = locked(name)
        except Unpinned as error:
            sys.stderr.write(f"requirements: {error}\n")
            return 1
        (FOLDER / f"{name}.txt").write_text(text)
        sys.stdout.write(f"bentos/requirements/{name}.txt: {len(text.splitlines()) - 1} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
