"""Building Bentos into a BENTOML_HOME of a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(home: Path) -> dict[str, str]:
    """Of this process, with that home."""
    return {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}


def build(home: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """`python -m deploy.bentos`; all of them unless named."""
    command = [sys.executable, "-m", "deploy.bentos", *names]
    return subprocess.run(
        command, cwd=ROOT, env=environment(home), capture_output=True, text=True, check=False, timeout=300
    )


def newest(home: Path, name: str) -> Path:
    """The folder of the latest Bento of that name."""
    return home / "bentos" / name / (home / "bentos" / name / "latest").read_text()
