"""`ekiben build`: what is in a Bento, and what is refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from ekiben.building.requirements import locked, of_service
from tests.bento_home import environment as with_home
from tests.bentos.building import newest
from tests.ekiben.running import ROOT, ekiben


@pytest.fixture(scope="module")
def own_home(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME that may be written to, with v1 and v3 of `credit` and not v2."""
    own = tmp_path_factory.mktemp("build")
    for name in ("credit_v1", "credit_v3"):
        shutil.copytree(home / "models" / name, own / "models" / name)
    return own


def test_every_published_version_becomes_a_bento_and_the_others_are_named(own_home: Path) -> None:
    done = ekiben(["build", "credit", "--no-image"], with_home(own_home))
    assert (done.returncode, done.stderr) == (0, "")
    first, second, last = done.stdout.splitlines()
    assert first.startswith("credit_v1:")
    assert " with credit_v1:" in first
    assert second.startswith("credit_v3:")
    assert last == "Not built: credit_v2 is not in the model store: run `ekiben train` first"
    bento = newest(own_home, "credit_v1")
    assert {path.name for path in (bento / "src").iterdir()} == {"bentofile.yaml", "ekiben", "services"}
    assert {path.name for path in (bento / "src" / "ekiben").iterdir()} == {
        "__init__.py",
        "process",
        "serving",
    }
    assert list(bento.rglob("__pycache__")) == []
    labels = yaml.safe_load((bento / "bento.yaml").read_text())["labels"]
    assert set(labels) == {"data_digest", "framework", "git_revision", "model", "version"}
    installs = (bento / "env" / "python" / "requirements.txt").read_text().splitlines()
    assert set(locked(of_service(["onnx"]))) <= set(installs)
    assert not [line for line in installs if line.startswith(("torch", "ekiben"))]
    torch = (newest(own_home, "credit_v3") / "env" / "python" / "requirements.txt").read_text()
    assert "\ntorch==" in torch


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["credit", "v2"], 1, "credit_v2 is not in the model store: run `ekiben train` first"),
        (["credit", "v9"], 2, "credit has no version 'v9' in "),
        (["churn"], 2, "there is no model 'churn' in "),
    ],
)
def test_what_cannot_be_built_is_one_line(
    own_home: Path, arguments: list[str], code: int, words: str
) -> None:
    done = ekiben(["build", *arguments, "--no-image"], with_home(own_home))
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert words in line


def test_what_it_is_served_from_must_be_among_what_it_runs_on(own_home: Path, tmp_path: Path) -> None:
    listed = yaml.safe_load((ROOT / "models.yaml").read_text())
    listed["models"]["credit"]["versions"]["v3"]["requirements"] = ["onnx"]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(listed))
    done = ekiben(["build", "credit", "v3", "--no-image"], with_home(own_home), cwd=tmp_path)
    assert done.returncode == 1
    assert "served from torch: write requirements: [torch] for it in models.yaml" in done.stderr
    listed["models"]["credit"]["versions"]["v3"]["requirements"] = ["torch", "no-such-package"]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(listed))
    done = ekiben(["build", "credit", "v3", "--no-image"], with_home(own_home), cwd=tmp_path)
    assert "no-such-package is not installed here: install it first" in done.stderr
