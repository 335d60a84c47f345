"""The wheel: what it holds, and that its parts run where only it is."""

from __future__ import annotations

import subprocess
from pathlib import Path
from zipfile import ZipFile

from tests.ports import free_port
from tests.processes import ROOT
from tests.wheel.conftest import Installed

# Packages of the user's own, in the folder where the commands are called. Whoever imports them fails.
THEIRS = ("experiments", "services", "state", "router", "control", "process")


def packages_of_their_own(folder: Path, but: tuple[str, ...] = ()) -> None:
    for name in set(THEIRS) - set(but):
        package = folder / name / "__init__.py"
        package.parent.mkdir(parents=True, exist_ok=True)
        package.write_text(f'raise RuntimeError("this {name} is the user\'s own")\n')
        (package.parent / "__main__.py").write_text('raise RuntimeError("started the user\'s own")\n')


def test_two_packages_are_installed_at_the_top_level(wheel: Path) -> None:
    names = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"ekiben", "router"}


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "ekiben", "router"]
    ours = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in ours if (ROOT / name).exists()} - set(ZipFile(wheel).namelist()) == set()


def test_what_runs_is_the_wheels_and_never_the_users_or_the_checkouts(
    installed: Installed, tmp_path: Path
) -> None:
    code = "import ekiben, router, sys; print(ekiben.__file__, router.__file__, sep='\\n', end='')"
    done = subprocess.run(
        [installed.python, "-P", "-c", code],
        cwd=ROOT, env=installed.environment(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip
    for found in done.stdout.splitlines():
        assert Path(found).is_relative_to(installed.venv)


def test_up_starts_beside_packages_of_the_users_own(installed: Installed, tmp_path: Path) -> None:
    packages_of_their_own(tmp_path)
    elsewhere = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "experiments.yaml").write_text(
        f'models: {{m: {{live: v1, versions: {{v1: {{endpoints: ["{elsewhere}"]}}}}}}}}\n'
    )
    ports = {"EKIBEN_PORT": str(free_port()), "EKIBEN_CONTROLLER_PORT": str(free_port())}
    environment = installed.environment(tmp_path, **ports)
    done = subprocess.run(
        [installed.program, "up", "--once", "--no-demo"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert f"http://127.0.0.1:{ports['EKIBEN_PORT']}/docs" in done.stdout
