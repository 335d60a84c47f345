"""The base image where no registry can be asked: Debian's own Python 3.11, by debootstrap, under its name.

It stands in for the real one in tests. It has no security updates after Debian's point release: what goes to
production is built where the real one can be had.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from ekiben.building.errors import CannotBuild
from ekiben.building.images.engine import BASE, Buildah

_PACKAGES: Final = "ca-certificates,python3,python3-venv,python3-pip"
_NOT_NEEDED: Final = (
    "var/cache/apt/archives/*.deb", "var/cache/apt/*.bin", "var/lib/apt/lists/*", "usr/share/doc/*",
    "usr/share/info/*", "usr/share/locale/*", "usr/share/man/*", "usr/lib/python3.11/EXTERNALLY-MANAGED",
)  # fmt: skip
_PATH: Final = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def make_base(engine: Buildah, folder: Path) -> None:
    """Make the base image. Raises `CannotBuild`."""
    if shutil.which("debootstrap") is None:
        raise CannotBuild(f"{BASE} is not here, and debootstrap, which could make it, is not installed")
    with tempfile.TemporaryDirectory(dir=folder) as root:
        tree = Path(root)
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", root]
        log = folder / "debootstrap.log"
        with log.open("wb") as output:
            done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)  # noqa: S603
        if done.returncode != 0:
            raise CannotBuild(f"debootstrap failed: see {log}")
        _slim(tree)
        container = engine.run("from", "scratch")
        try:
            engine.run("add", "-q", container, root, "/")
            engine.run("config", "--cmd", "python3", "--env", f"PATH={_PATH}", container)
            engine.run("commit", "-q", "--format", "docker", container, BASE)
        finally:
            engine.run("rm", container)


def _slim(tree: Path) -> None:
    for pattern in _NOT_NEEDED:
        for path in tree.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in ("python", "python3", "python3.11"):
        os.symlink("/usr/bin/python3.11", tree / "usr" / "local" / "bin" / name)
    tree.chmod(0o755)  # a temporary folder is its owner's alone
