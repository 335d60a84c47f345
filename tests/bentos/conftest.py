"""A trained and built BENTOML_HOME for what only `make bentos-test` runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bentos.building import build


@pytest.fixture(scope="session")
def whole_home(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME with the three versions, and all five Bentos."""
    whole = tmp_path_factory.mktemp("whole")
    shutil.copytree(home, whole, dirs_exist_ok=True)
    done = build(whole)
    assert done.returncode == 0, done.stderr
    return whole
