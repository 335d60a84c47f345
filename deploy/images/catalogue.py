"""Which images there are: of which Bento, with which packages, starting what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.bentos import build_files
from deploy.requirements import FOLDER

TAG: Final = "dev"
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Image:
    """An image. `target` is a stage of the Dockerfile, `most_mib` the size that it must not pass."""

    name: str
    bento: str
    target: str
    requirements: Path
    most_mib: int | None = None

    @property
    def reference(self) -> str:
        """The name and tag that the manifests and the compose file use."""
        return f"{self.name}:{TAG}"


_MOST_MIB: Final = {"router": 300, "credit_v1": 500, "credit_v2": 500}


def images() -> dict[str, Image]:
    """All images, by name: one for each build file."""
    found = {}
    for bento, file in build_files().items():
        what = bento.removeprefix("ekiben_")
        target, lock = ("service", what) if file.serves_a_model else (what, f"{what}_process")
        name = f"ekiben/{what.replace('_', '-')}"
        found[name] = Image(name, bento, target, FOLDER / f"{lock}.txt", _MOST_MIB.get(what))
    return found
