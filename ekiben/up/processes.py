"""Children and their children: started in sessions of their own, known by a mark, ended for certain.

A child may start processes in sessions of *their* own (BentoML's workers do), so that neither a process
group nor a parent's death reaches them all. What every descendant does inherit is the environment: each run
puts a mark of its own into it, and whatever carries the mark when the run is over is ended. The guard
(`ekiben.up.guard`) does the same when this process was killed and could not.

Finding the mark needs Linux's /proc; elsewhere only the children's own process groups are ended.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ekiben.process.private import private_opener

MARK_NAME = "EKIBEN_RUN"
POLL_S = 0.02


@dataclass(slots=True)
class Child:
    """One started process: what people call it, the process, where its output goes, and whether the run
    fails when it ends.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    needed: bool = True


class Children:
    """Everything one run starts. Used as `children = Children(...)`, `try: … finally: children.end()`."""

    def __init__(self, log_dir: Path, hold: IO[bytes], sockets_of: Path) -> None:
        """`hold` is the lock's open file: the guard keeps it for as long as it cleans up after a killed run.

        `sockets_of` is the data directory whose sockets the guard removes then.
        """
        self._log_dir = log_dir
        self.mark = secrets.token_hex(12)
        # Temporary files of killed children would stay for ever in a folder that is everybody's.
        self._temporary = tempfile.mkdtemp(prefix="ekiben-up-", dir="/tmp")
        self._children: list[Child] = []
        self._guard = subprocess.Popen(  # noqa: S603 - this interpreter, arguments from here
            [sys.executable, "-P", "-m", "ekiben.up.guard", self.mark, str(sockets_of), self._temporary],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(hold.fileno(),),
        )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's environment with the mark and a folder for temporary files, and `more`."""
        return {**os.environ, "TMPDIR": self._temporary, **(more or {}), MARK_NAME: self.mark}

    def start(
        self, name: str, command: Sequence[str], more: Mapping[str, str] | None = None, needed: bool = True
    ) -> Child:
        """Start `command` in a session of its own; its output goes to `NAME.log`, which begins empty."""
        log = self._log_dir / f"{name}.log"
        with open(log, "wb", opener=private_opener) as output:
            process = subprocess.Popen(  # noqa: S603 - commands are put together in ekiben.up
                command,
                env=self.environment(more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.adopt(Child(name, process, log, needed))

    def adopt(self, child: Child) -> Child:
        """Watch a child that was started elsewhere (with `environment()`)."""
        self._children.append(child)
        return child

    def ended(self) -> Child | None:
        """A needed child that is no longer running, if there is one."""
        return next(
            (each for each in self._children if each.needed and each.process.poll() is not None), None
        )

    def forget(self, child: Child) -> None:
        """Stop watching a child that was meant to end."""
        self._children.remove(child)

    def stop(self, children: Iterable[Child], grace_s: float) -> None:
        """Ask these to end, and wait until they have or `grace_s` is over. What is left is for `end`."""
        leaving = list(children)
        for child in leaving:
            with suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + grace_s
        for child in leaving:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            if child in self._children:
                self.forget(child)

    def end(self) -> None:
        """Kill whatever is left of this run, and let the guard go. Takes at most a few seconds."""
        for child in self._children:
            if child.process.poll() is None:
                child.process.kill()
        kill_marked(self.mark)
        for child in self._children:
            child.process.wait()
        self._children.clear()
        shutil.rmtree(self._temporary, ignore_errors=True)
        assert self._guard.stdin is not None
        with suppress(OSError):
            self._guard.stdin.write(b"done\n")
            self._guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._guard.wait(5.0)


def kill_marked(mark: str, patience_s: float = 5.0) -> None:
    """Kill every process that carries the mark, and those they start meanwhile, until none is left."""
    deadline = time.monotonic() + patience_s
    while (pids := marked(mark)) and time.monotonic() < deadline:
        signal_all(pids, signal.SIGKILL)
        time.sleep(POLL_S)


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def marked(mark: str) -> list[int]:
    """The running processes of this user, but this one, whose environment carries the mark."""
    wanted = f"{MARK_NAME}={mark}".encode()
    found = []
    with suppress(FileNotFoundError):  # no /proc
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            # Read as a process may vanish between two lines; a zombie's environment is empty.
            with suppress(OSError), open(f"/proc/{entry.name}/environ", "rb") as environ:
                if wanted in environ.read().split(b"\0"):
                    found.append(int(entry.name))
    return found
