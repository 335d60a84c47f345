"""`ekiben init`: the folder that it makes, and what it leaves alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ekiben.project.models import read_models
from tests.ekiben.running import ekiben, environment

FILES = {
    *(".gitignore", "Makefile", "README.md", "experiments.yaml", "models.yaml", "requirements.txt"),
    *("loadtests/locustfile.py", "services/__init__.py", "training/__init__.py", "training/gates.yaml"),
}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    env = environment(tmp_path / "data", tmp_path / "nowhere.yaml")
    del env["EKIBEN_EXPERIMENTS_FILE"]
    return env


def test_a_project_is_a_git_repository_without_models(env: dict[str, str], tmp_path: Path) -> None:
    done = ekiben(["init", "shop"], env, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert line.startswith("shop is a project. Next: cd shop && ekiben new churn v1 ")
    root = tmp_path / "shop"
    status = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=root, capture_output=True, text=True, check=True
    )
    assert {line.removeprefix("?? ") for line in status.stdout.splitlines()} == FILES
    assert read_models(root) == {}
    assert "# shop" in (root / "README.md").read_text()
    texts = "".join((root / name).read_text() for name in FILES)
    assert "PROJECT_NAME" not in texts
    assert "LIBRARY_VERSION" not in texts
    assert "://" not in (root / "requirements.txt").read_text()


def test_a_project_without_models_says_how_to_begin_one(env: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    assert "is a project. Next: ekiben new " in ekiben(["init", "."], env, cwd=root).stdout
    done = ekiben(["up", "--once"], env, cwd=root)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "names no model yet: begin one with `ekiben new MODEL v1 " in line


def test_what_is_there_is_left_as_it_is(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        done = ekiben(["init", name], env, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"ekiben: {name} is there already and not empty: nothing is written over it\n"
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["mine.txt"]
    done = ekiben(["init", "file/shop"], env, cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot write file/shop: Not a directory" in done.stderr


def test_the_first_model_of_a_project_is_listed_and_routed_to(env: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "shop"
    assert ekiben(["init", "shop"], env, cwd=tmp_path).returncode == 0
    for version in ("v1", "v2"):
        done = ekiben(["new", "churn", version, "--kind", "classification"], env, cwd=root)
        assert (done.returncode, done.stderr) == (0, "")
    listed = read_models(root)["churn"]
    assert (listed.kind, {name: one.port for name, one in listed.versions.items()}) == (
        "classification",
        {"v1": 3001, "v2": 3002},
    )
    assert ekiben(["check", "experiments.yaml"], env, cwd=root).returncode == 0


def test_later_versions_run_on_what_their_kind_of_model_runs_on(env: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / "shop"
    assert ekiben(["init", "shop"], env, cwd=tmp_path).returncode == 0
    assert ekiben(["new", "reviews", "v1", "--kind", "text"], env, cwd=root).returncode == 0
    done = ekiben(["new", "reviews", "v2"], env, cwd=root)
    assert "Add the function v2 to training/reviews/train.py" in done.stdout
    assert [one.requirements for one in read_models(root)["reviews"].versions.values()] == [("skops",)] * 2
