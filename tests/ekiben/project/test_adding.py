"""A model is added to the repository: which files that touches, and that its own tests stay green."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.ekiben.running import ekiben, environment
from tests.wheel.conftest import copy_of_what_git_has

# Those that look at models, build files, locks, images and manifests.
_LOOKING = (
    *("tests/bentos/test_build_files.py", "tests/bentos/test_requirements.py", "tests/deploy/test_images.py"),
    *("tests/deploy/test_compose.py", "tests/deploy/test_experiments.py", "tests/ekiben/test_pieces.py"),
    "tests/ekiben/project/test_models.py",
)


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_a_model_touches_its_own_files_and_one_more_and_the_tests_stay_green(tmp_path: Path) -> None:
    root = tmp_path / "copy"
    copy_of_what_git_has(root)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "as it is")

    env = environment(tmp_path / "data", root / "experiments.yaml")
    done = ekiben(["new", "parcels", "v1", "--features", "weight,height", "--no-route"], env, cwd=root)
    assert (done.returncode, done.stderr) == (0, "")
    written = run(root, "-m", "deploy.requirements")
    assert written.returncode == 0, written.stderr
    git(root, "add", "-A")
    changed = git(root, "diff", "--cached", "--name-only").split()
    assert [name for name in changed if "parcels" not in name] == ["models.yaml"]
    assert {"bentos/parcels_v1.yaml", "bentos/requirements/parcels_v1.txt"} < set(changed)

    # One that somebody wrote by hand, without models.yaml.
    by_hand = (root / "bentos" / "credit_v1.yaml").read_text().replace("credit", "others")
    by_hand = by_hand.replace("requirements/others", "requirements/credit")
    (root / "bentos" / "others_v1.yaml").write_text(by_hand)
    # … and a model that is routed to on this machine.
    assert ekiben(["new", "letters", "v1", "--features", "weight"], env, cwd=root).returncode == 0
    assert run(root, "-m", "deploy.requirements").returncode == 0
    tested = run(root, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_LOOKING)
    assert tested.returncode == 0, tested.stdout[-3000:]
