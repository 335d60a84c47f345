"""What builds images here: Docker where its daemon answers, else buildah."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ekiben.building.errors import CannotBuild

BASE: Final = "python:3.11-slim"


class Docker:
    """Docker's own client and daemon."""

    name = "docker"

    def has(self, image: str) -> bool:
        """Whether the daemon has the image."""
        return _succeeds(["docker", "image", "inspect", image])

    def build(self, arguments: Sequence[str]) -> None:
        """Build with BuildKit, which the Dockerfile's mounts need."""
        _output(["docker", "build", "-q", *arguments], {**os.environ, "DOCKER_BUILDKIT": "1"})

    def size(self, image: str) -> int:
        """As the daemon tells it."""
        return int(_output(["docker", "image", "inspect", "-f", "{{.Size}}", image]))


class Buildah:
    """buildah, which needs no daemon: as root, with a store of its own in `folder`."""

    name = "buildah"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        configuration = folder / "storage.conf"
        configuration.write_text(
            f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/storage"\n'
        )
        self.environ = {
            **os.environ,
            "CONTAINERS_STORAGE_CONF": str(configuration),
            "BUILDAH_ISOLATION": "chroot",
        }

    def has(self, image: str) -> bool:
        """Whether the store has the image."""
        return _succeeds(["buildah", "inspect", "--type", "image", image], self.environ)

    def build(self, arguments: Sequence[str]) -> None:
        """Build; the format is Docker's, since OCI's knows no health check."""
        self.run("bud", "-q", "--format", "docker", "--layers", "--pull-never", *arguments)

    def size(self, image: str) -> int:
        """The sum of its layers."""
        manifest = json.loads(self.run("inspect", "--type", "image", "--format", "{{.Manifest}}", image))
        return sum(int(layer["size"]) for layer in manifest["layers"])

    def run(self, *arguments: str) -> str:
        """Run a command of buildah and return what it prints. Raises `CannotBuild`."""
        return _output(["buildah", *arguments], self.environ).strip()


def find_engine(folder: Path) -> Docker | Buildah:
    """Docker if its daemon answers, else buildah with its store in `folder`. Raises `CannotBuild`."""
    if shutil.which("docker") and _succeeds(["docker", "info"]):
        return Docker()
    if shutil.which("buildah") is None:
        raise CannotBuild("no Docker daemon answers and buildah is not installed: one of them is needed")
    if os.geteuid() != 0:
        raise CannotBuild("no Docker daemon answers, and buildah must run as root here")
    return Buildah(folder)


def _succeeds(command: Sequence[str], environ: Mapping[str, str] | None = None) -> bool:
    return subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0  # noqa: S603


def _output(command: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise CannotBuild(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
