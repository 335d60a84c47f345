"""What a Bento installs: complete, every version pinned, and read from the packages installed here.

No index is asked or named: two runs write the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ekiben.building.errors import CannotBuild

TRACES: Final = ("opentelemetry-exporter-otlp-proto-http", "opentelemetry-sdk")
SERVICE: Final = ("bentoml", "httptools", "numpy", "orjson", "uvloop")
"""What every service runs on."""
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "onnx": ("onnxruntime",),
    "skops": ("scikit-learn", "skops"),
    "torch": ("safetensors", "torch"),
}
"""What a version's `requirements` may name beside packages."""

# torch's build for graphics cards asks for gigabytes of these; the build for processors runs without.
_CUDA: Final = re.compile(r"(nvidia|cuda)-(?!ml-py)|triton$")

# By the package that asks for it: what this Python does not need and an earlier 3.11 (Debian 12) does.
EARLIER: Final[Mapping[str, str]] = {"redis": 'async-timeout==5.0.1; python_full_version < "3.11.3"'}


def of_service(listed: Iterable[str]) -> list[str]:
    """What a service asks for whose version lists these groups and packages; traced where that can be."""
    traces = TRACES if all(map(_is_installed, TRACES)) else ()
    return [*traces, *SERVICE, *(name for each in listed for name in GROUPS.get(each, (each,)))]


def closure(requirements: Iterable[str]) -> set[str]:
    """The canonical names of the packages that these install. Raises `CannotBuild` for one not here."""
    try:
        todo = [Requirement(each) for each in requirements]
    except InvalidRequirement as error:
        raise CannotBuild(f"requirements: {error}") from None
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
                raise CannotBuild(f"{name} is not installed here: install it first") from None
            for need in map(Requirement, needs):
                wanted = need.marker is None or need.marker.evaluate({"extra": extra})
                if wanted and not (name == "torch" and _CUDA.match(canonicalize_name(need.name))):
                    todo.append(need)
    return {name for name, _ in seen}


def locked(requirements: Iterable[str]) -> list[str]:
    """The lines that pin all that these install, in order. Raises `CannotBuild`."""
    names = closure(requirements)
    earlier = [line for package, line in EARLIER.items() if package in names]
    # 2.13.0+cpu is a build of 2.13.0.
    return sorted([*earlier, *(f"{name}=={metadata.version(name).split('+')[0]}" for name in names)])


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
