"""What a fast run leaves out, by a fast run of a few tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT

TESTS = """
import asyncio, os, socket, subprocess

import pytest

from tests.ports import free_port


@pytest.fixture(scope="module")
def child():
    with subprocess.Popen(["true"]) as process:
        yield process


def test_a_fixture_that_starts_a_process(child): pass
def test_the_same_once_more(child): pass
def test_a_fork(): os._exit(0) if os.fork() == 0 else os.wait()
def test_a_server(): socket.create_server(("127.0.0.1", 0)).close()
def test_a_port(): free_port()
async def test_a_process_of_an_event_loop(): await asyncio.create_subprocess_exec("true")
def test_a_failure_is_hidden_by_nothing(): assert False
def test_nothing_of_the_kind(): assert True
"""


def test_a_fast_run_skips_what_starts_a_process_or_a_server_and_runs_the_rest(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    given = ["--fast", "-p", "tests.conftest", "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path, tmp_path]
    command = [sys.executable, "-m", "pytest", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed, 6 skipped" in done.stdout.splitlines()[-1], done.stdout
    assert re.search("^FAILED .*::test_a_failure_is_hidden_by_nothing", done.stdout, re.MULTILINE)
