"""An image: of which Bento, with which packages, starting what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TAG: Final = "dev"
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Image:
    """An image. `target` is a stage of the Dockerfile, `requirements` are the pinned packages that it
    installs, `most_mib` is the size that it must not pass.
    """

    name: str
    bento: str
    target: str
    requirements: tuple[str, ...]
    most_mib: int | None = None

    @property
    def reference(self) -> str:
        """The name and tag that the manifests and the compose file use."""
        return f"{self.name}:{TAG}"


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built: of which Bento, its size in bytes, how long it took."""

    image: Image
    bento: str
    size: int
    seconds: float
