"""A trained and built BENTOML_HOME for what only `make bentos-test` runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bentos.building import ROOT, build, environment


@pytest.fixture(scope="session")
def whole_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BENTOML_HOME with the three versions, and all five Bentos."""
    home = tmp_path_factory.mktemp("whole")
    command = [sys.executable, "-c", "from training.credit import train; train()"]
    subprocess.run(command, cwd=ROOT, env=environment(home), check=True, timeout=120)
    done = build(home)
    assert done.returncode == 0, done.stderr
    return home
