"""What of the code is in a model version: the user's source, and the library's version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ekiben.serving.code_digest import library_version
from tests.ekiben.serving.conftest import ROOT

_SCHEMA = """
from common.units import YEARS
from ekiben.serving.features import Features, number
import borrowed

class Customer(Features):
    age: float = number(0, 120, YEARS, "age")
"""
_PRINT = """
from ekiben.serving.code_digest import code_digest, project_modules
from services.churn.schema import Customer
print(code_digest("tests", Customer), *(name for name, _ in project_modules(Customer)))
"""

Files = dict[str, str]
PROJECT: Files = {
    "services/__init__.py": "",
    "services/churn/__init__.py": "",
    "services/churn/schema.py": _SCHEMA,
    "services/churn/unused.py": "",
    "common/units.py": 'YEARS = "years"\n',
    ".venv/lib/python3.11/site-packages/borrowed.py": "",
    "ekiben-7.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: ekiben\nVersion: 7.0\n",
}


@pytest.fixture
def digest(tmp_path: Path) -> Callable[..., list[str]]:
    """Prints the digest and the modules of a project with these files, into which the library is copied."""
    for part in ("__init__.py", "process", "serving"):
        source, target = ROOT / "ekiben" / part, tmp_path / "ekiben" / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True)
            shutil.copy(source, target)

    def changed(name: str = "", text: str = "") -> list[str]:
        """After this text is added to the end of a file."""
        if name:
            with (tmp_path / name).open("a") as file:
                file.write(text)
        path = os.pathsep.join([str(tmp_path), str(tmp_path / ".venv/lib/python3.11/site-packages")])
        done = subprocess.run(
            [sys.executable, "-B", "-c", _PRINT],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return changed


def test_an_edited_line_of_the_project_changes_it_and_a_comment_in_the_library_does_not(
    digest: Callable[..., list[str]],
) -> None:
    first, *modules = digest()
    assert modules == ["common.units", "services", "services.churn", "services.churn.schema"]
    for name in ("ekiben/serving/rows.py", "ekiben/process/environ.py", "ekiben/serving/kernel.py"):
        assert digest(name, "\n# a comment\n")[0] == first
    assert digest("services/churn/unused.py", "\n# never loaded\n")[0] == first
    assert digest(".venv/lib/python3.11/site-packages/borrowed.py", "\n# installed\n")[0] == first
    for name in ("services/churn/schema.py", "common/units.py", "services/churn/__init__.py"):
        before, first = first, digest(name, "\n# a comment\n")[0]
        assert first != before


def test_another_version_of_the_library_changes_it(digest: Callable[..., list[str]], tmp_path: Path) -> None:
    first, *_ = digest()
    metadata = tmp_path / "ekiben-7.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("7.0", "7.1"))
    assert digest()[0] != first


def test_where_no_version_is_installed_the_source_stands_for_it() -> None:
    assert len(library_version("ekiben-of-nowhere")) == 64
    assert library_version("ekiben-of-nowhere") != library_version()
