"""The wheel, built from what git has, and a clean venv with it in which this checkout cannot be imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import ROOT

# Of the installed packages, those that are this project or lead to it.
_OURS = ("ekiben", "__editable__")


@dataclass(frozen=True)
class Installed:
    """A venv with the wheel, and the Python of one without. Both borrow packages, so that nothing is
    downloaded.
    """

    wheel: Path
    venv: Path
    bare: Path

    @property
    def program(self) -> str:
        """Its `ekiben`."""
        return str(self.venv / "bin" / "ekiben")

    @property
    def python(self) -> str:
        """Its Python."""
        return str(self.venv / "bin" / "python")

    def environment(self, folder: Path, **more: str) -> dict[str, str]:
        """Of a user who has only this venv: no PYTHONPATH, no setting of ours."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("EKIBEN_", "PYTHON", "VIRTUAL_ENV")) and name != "REDIS_URL"
        }
        home = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "true"}
        path = {"PATH": f"{self.venv / 'bin'}:{os.environ['PATH']}"}
        return kept | home | path | more


def copy_of_what_git_has(folder: Path) -> None:
    """Copy the checkout without what git ignores."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory, not_fast: None) -> Path:
    """The wheel of what git has here, changes that are not committed included."""
    folder = tmp_path_factory.mktemp("wheel")
    copy_of_what_git_has(folder / "source")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "-w", str(folder), "."], cwd=folder / "source", check=True)
    (built,) = folder.glob("ekiben-*.whl")
    return built


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installed:
    """A clean venv with the wheel. The packages that it needs are those that are installed here."""
    folder = tmp_path_factory.mktemp("installed")
    venv, borrowed = folder / "venv", folder / "borrowed"
    borrowed.mkdir()
    places = [Path(place) for place in sys.path if Path(place).name in ("site-packages", "dist-packages")]
    for package in (each for place in places for each in sorted(place.iterdir())):
        link = borrowed / package.name
        if not package.name.startswith(_OURS) and package.suffix != ".pth" and not link.exists():
            link.symlink_to(package)
    bare = folder / "bare"
    for each in (venv, bare):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(each)], check=True)
        site = Path(sysconfig.get_path("purelib", vars={"base": str(each), "platbase": str(each)}))
        (site / "borrowed.pth").write_text(f"{borrowed}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "-q"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return Installed(wheel, venv, bare / "bin" / "python")
