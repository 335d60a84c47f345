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


_ROUTER: Final = Image("ekiben/router", "ekiben_router", "router", FOLDER / "router_process.txt", 300)
_CONTROLLER: Final = Image(
    "ekiben/controller", "ekiben_controller", "controller", FOLDER / "controller_process.txt"
)
_MOST_MIB: Final = {"credit_v1": 500, "credit_v2": 500}


def images() -> dict[str, Image]:
    """All images, by name: one for each build file."""
    found = [
        Image(
            f"ekiben/{name.replace('_', '-')}", name, "service", FOLDER / f"{name}.txt", _MOST_MIB.get(name)
        )
        for name, file in build_files().items()
        if file.serves_a_model
    ]
    return {image.name: image for image in (*found, _ROUTER, _CONTROLLER)}
