"""Containers of the built images, run by runc: started, asked, told to stop."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from ekiben.building.images.engine import Buildah


class Images:
    """The images in buildah's store, each mounted once, and their configurations."""

    def __init__(self, engine: Buildah) -> None:
        self._engine = engine
        self._mounted: dict[str, tuple[str, Path]] = {}

    def root(self, image: str) -> Path:
        """The folder with the image's files."""
        if image not in self._mounted:
            container = self._engine.run("from", "--pull-never", image)
            self._mounted[image] = container, Path(self._engine.run("mount", container))
        return self._mounted[image][1]

    def configuration(self, image: str) -> Any:
        """What the Dockerfile set: Cmd, Env, User, Healthcheck, …"""
        described = json.loads(self._engine.run("inspect", "--type", "image", image))
        return described["Docker"]["config"]

    def history(self, image: str) -> str:
        """The commands that made it, as the image tells everybody."""
        described = json.loads(self._engine.run("inspect", "--type", "image", image))
        return json.dumps(described["Docker"].get("history", []))

    def size(self, image: str) -> int:
        """Its size in bytes."""
        return self._engine.size(image)

    def close(self) -> None:
        """Unmount all of them."""
        for container, _ in self._mounted.values():
            self._engine.run("rm", container)


class Container:
    """One container. `address` is its own on the tests' network."""

    def __init__(self, name: str, folder: Path, specification: Mapping[str, Any], address: str) -> None:
        self.name = f"{name}-{os.getpid()}"
        self.address = address
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(specification))
        self.log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output goes to `log`."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["runc", "--root", str(self._folder.parent / "runc"), "run", "--bundle", str(self._folder),
                 self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def pid(self) -> int:
        """The first process of the container, as this machine numbers it."""
        return int(json.loads(self._runc("state", self.name).stdout)["pid"])

    def signal(self, name: str) -> None:
        """Send its first process a signal: TERM is what Kubernetes sends."""
        self._runc("kill", self.name, name)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with its user and rights."""
        return self._runc("exec", self.name, *command)

    def wait(self, within_s: float) -> int:
        """How it ended. Raises `subprocess.TimeoutExpired`."""
        assert self._process is not None
        return self._process.wait(within_s)

    def get(self, path: str, port: int = 3000) -> httpx.Response | None:
        """Its answer to a GET; None when there is none."""
        try:
            return httpx.get(f"http://{self.address}:{port}{path}", timeout=5.0)
        except httpx.TransportError:
            return None

    def close(self) -> None:
        """End it, whatever it does, and leave nothing behind."""
        self._runc("delete", "--force", self.name)
        if self._process is not None:
            self._process.wait(10)

    def _runc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["runc", "--root", str(self._folder.parent / "runc"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
