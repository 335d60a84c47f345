"""Building Bentos into a BENTOML_HOME of a test's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.bento_home import environment

ROOT = Path(__file__).parents[2]


def build(home: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """`python -m deploy.bentos`; all of them unless named."""
    command = [sys.executable, "-m", "deploy.bentos", *names]
    return subprocess.run(
        command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False, timeout=300
    )


def newest(home: Path, name: str) -> Path:
    """The folder of the latest Bento of that name."""
    return home / "bentos" / name / (home / "bentos" / name / "latest").read_text()
