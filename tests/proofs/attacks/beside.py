"""What is started beside the installation: another router, another controller, a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from tests.proofs.faults.processes import ROOT, Process, http_get


class Other(Process):
    """`python -m router`, `ekiben.control`, … on its own port, started with the block and ended with it."""

    def __init__(
        self,
        module: str,
        port: int,
        logs: Path,
        environment: Mapping[str, str],
        open_files: int | None = None,
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.data = Path(environment["EKIBEN_DATA_DIR"])
        name = f"other-{module.rpartition('.')[2]}"
        super().__init__(
            name,
            [sys.executable, "-m", module],
            logs,
            lambda: http_get(f"{self.url}/livez") == 200,
            environment,
            open_files,
        )

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Self:
        self.log.unlink(missing_ok=True)
        try:
            self.start()
        except BaseException:
            self.terminate(2.0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate(2.0)


class Ran(NamedTuple):
    """A command that has ended: its exit code and all that it printed."""

    code: int
    output: str


def run_command(command: Sequence[str], environment: Mapping[str, str], folder: Path, within_s: float) -> Ran:
    """Run a command in `folder` to its end. Raises `subprocess.TimeoutExpired`."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": os.environ.get("COLUMNS", "200")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=within_s,
        check=False,
    )
    return Ran(done.returncode, done.stdout.decode(errors="replace"))
