"""A BentoML home with the versions of `credit`, trained once in a run of the tests, whoever needs it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT


def environment(home: Path) -> dict[str, str]:
    """Of this process, with that home."""
    return {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "true"}


def trained_home(folder: Path) -> Path:
    """The home in this folder. The first process that asks trains, and the others wait for it."""
    home, draft = folder / "credit-home", folder / "credit-home.draft"
    with (folder / "credit-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            command = [sys.executable, "-c", "from training.credit.train import train; train()"]
            subprocess.run(command, cwd=ROOT, env=environment(draft), check=True, timeout=180)
            draft.rename(home)
    return home
