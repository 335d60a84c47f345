"""Built Bentos: what is in them, and what is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deploy.bentos import ROOT
from tests.bentos.building import build, newest

SHARED = {"ekiben/experiments", "ekiben/process", "ekiben/state"}
PARTS = {
    "ekiben_router": {"experiments.yaml", "router"} | SHARED,
    "ekiben_controller": {"ekiben/control"} | SHARED,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME with the Bentos of the router and the controller."""
    home = tmp_path_factory.mktemp("bentos")
    done = build(home, *PARTS)
    assert done.returncode == 0, done.stderr
    return home


@pytest.mark.parametrize("name", PARTS)
def test_a_bento_holds_its_own_packages_and_no_other(home: Path, name: str) -> None:
    source = newest(home, name) / "src"
    # BentoML adds the build file.
    top = {part.split("/")[0] for part in PARTS[name]}
    assert {path.name for path in source.iterdir()} == top | {"bentofile.yaml"}
    ours = {f"ekiben/{path.name}" for path in (source / "ekiben").iterdir()}
    assert ours == {part for part in PARTS[name] if "/" in part} | {"ekiben/__init__.py"}
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert not [file for file in files if re.search(r"(^|/)(tests?|training)(/|_)", file)]


@pytest.mark.parametrize("name", PARTS)
def test_a_bento_holds_all_of_its_packages(home: Path, name: str) -> None:
    source = newest(home, name) / "src"
    for folder in PARTS[name] - {"experiments.yaml"}:
        ours = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        needed = {path for path in ours if path.parent.name != "__pycache__"}
        assert {path for path in needed if not (source / path).exists()} == set()


@pytest.mark.parametrize("name", PARTS)
def test_a_bento_says_what_it_is_and_from_which_revision(home: Path, name: str) -> None:
    labels = yaml.safe_load((newest(home, name) / "bento.yaml").read_text())["labels"]
    assert set(labels) == {"part", "git_revision"}
    assert re.fullmatch("unknown|[0-9a-f]{40}(-dirty)?", labels["git_revision"])


@pytest.mark.parametrize("name", PARTS)
def test_a_bento_names_no_package_index(home: Path, name: str) -> None:
    for path in (newest(home, name) / "env" / "python").iterdir():
        if path.is_file():
            assert "://" not in path.read_text()


def test_a_version_that_was_never_trained_is_refused_in_one_line(home: Path) -> None:
    done = build(home, "credit_v1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "bentos: credit_v1 is not in the model store: run `ekiben train` first"
    )
    assert "Traceback" not in done.stderr


def test_a_bento_that_does_not_exist_is_refused(home: Path) -> None:
    done = build(home, "nothing")
    assert done.returncode == 2
    assert "bentos: no nothing; there are " in done.stderr
