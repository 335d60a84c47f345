"""Children and grandchildren, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ekiben.state.embedded import socket_dir
from ekiben.terminal.errors import EkibenError
from ekiben.up.lock import locked
from ekiben.up.processes import Children, marked
from ekiben.up.readiness import how_it_ended, last_words

# A child that starts a grandchild in a session of its own, as BentoML does, and ignores being asked to end.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("started", flush=True)
time.sleep(600)
"""


def wait_for(log: Path, text: str) -> None:
    while text not in (log.read_text() if log.exists() else ""):
        time.sleep(0.01)


def test_ending_kills_grandchildren_in_sessions_of_their_own(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        children = Children(tmp_path, lock, tmp_path)
        try:
            child = children.start("stubborn", [sys.executable, "-c", STUBBORN])
            wait_for(child.log, "started")
            assert len(marked(children.mark)) == 2
            children.stop([child], grace_s=0.2)
        finally:
            children.end()
        assert marked(children.mark) == []
        assert child.process.poll() == -signal.SIGKILL


def test_a_child_that_ends_when_asked_is_not_killed(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        children = Children(tmp_path, lock, tmp_path)
        try:
            code = "import signal; signal.signal(15, lambda *_: exit(7)); print('on'); signal.pause()"
            child = children.start("polite", [sys.executable, "-u", "-c", code])
            wait_for(child.log, "on")
            children.stop([child], grace_s=10)
            assert child.process.poll() == 7
        finally:
            children.end()


def test_after_a_killed_parent_the_guard_ends_everything_and_frees_the_lock(tmp_path: Path) -> None:
    parent = f"""
import os, signal, sys, time
from pathlib import Path
from ekiben.up.lock import locked
from ekiben.up.processes import Children
from ekiben.state.embedded import socket_dir
folder = Path({str(tmp_path)!r})
with locked(folder) as lock:
    children = Children(folder, lock, folder)
    socket_dir(folder).mkdir(mode=0o700)
    (socket_dir(folder) / "cache.sock").touch()
    child = children.start("stubborn", [sys.executable, "-c", {STUBBORN!r}])
    while "started" not in child.log.read_text():
        time.sleep(0.01)
    print(children.mark, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    mark = killed.stdout.strip()
    with locked(tmp_path):  # the guard lets go of it when everything has ended
        assert marked(mark) == []
        assert not socket_dir(tmp_path).exists()


def test_only_one_holds_a_data_dir_and_the_other_learns_who(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(EkibenError, match=f"process {os.getpid()}"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_the_way_a_child_ended_is_one_line_with_its_last_words_and_its_log(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        children = Children(tmp_path, lock, tmp_path)
        try:
            code = "import sys; print('warming up'); sys.exit('no such model')"
            child = children.start("credit_v9", [sys.executable, "-c", code])
            child.process.wait()
            assert children.ended() is child
        finally:
            children.end()
    line = how_it_ended(child)
    assert line == f"credit_v9 ended with exit code 1 (no such model): see {tmp_path / 'credit_v9.log'}"


def test_last_words_are_the_error_a_log_ends_with_and_stay_short(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Traceback:\n  File x\nValueError: " + "very " * 100 + "long\n    ^^^\nstopped\n\n")
    assert last_words(log).startswith("ValueError: very")
    assert len(last_words(log)) == 300
    log.write_text("started\nIf you import: 'Failed to import module: No module named x'\nsome advice\n")
    assert last_words(log) == "Failed to import module: No module named x'"
    log.write_text("started\n\n  bye\n")
    assert last_words(log) == "started"
    assert last_words(tmp_path / "none") == ""
