"""The Makefile: what is given to it reaches commands as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "version", ["v3", "v3'; touch broken; '", '$(touch broken)"; touch broken; "', "v 3"]
)
def test_a_version_is_one_argument_whatever_is_in_it(tmp_path: Path, version: str) -> None:
    program = tmp_path / "bin" / "ekiben"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nfor word; do printf "%s\\n" "$word" >> {tmp_path}/words; done\n')
    program.chmod(0o755)
    (tmp_path / ".installed").touch()
    command = ["make", "pipeline-gate", f"VENV={tmp_path}", f"VERSION={version.replace('$', '$$')}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "words").read_text().splitlines() == ["gate", "credit", version]
    assert not (ROOT / "broken").exists()
