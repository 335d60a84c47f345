"""Real processes on loopback: model services and routers, their output in files."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from tests.ports import free_port
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[1]


def settle(file: Path) -> None:
    """Let a file look as if it had been there for a minute: one saved just now is left alone first."""
    if file.exists():
        before = time.time() - 60
        os.utime(file, (before, before))


class Process:
    """A child whose output goes to a file; ended by its own id."""

    def __init__(self, name: str, folder: Path, arguments: list[str], environ: dict[str, str]) -> None:
        self.log = folder / f"{name}.log"
        self._arguments = arguments
        self._environ = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                cwd=self.log.parent,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would, and whatever it has started."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE_S)
        finally:
            self.kill()

    def wait_for(self, url: str) -> None:
        """Wait until `url` answers 200."""
        end = time.monotonic() + PATIENCE_S
        while True:
            assert self.running, self.log.read_text()
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    answer.read()
                    return
            except OSError:
                assert time.monotonic() < end, self.log.read_text()
                time.sleep(0.02)


class ServiceProcess(Process):
    """A version of `credit`, as `tests.service_app` serves it."""

    def __init__(self, version: str, folder: Path) -> None:
        port = free_port()
        super().__init__(f"service-{version}", folder, ["-m", "tests.service_app", version, str(port)], {})
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        super().start()
        self.wait_for(f"{self.url}/model/info")

    def mode(self, mode: str) -> None:
        """Tell it how to behave."""
        request = urllib.request.Request(f"{self.url}/mode", mode.encode(), method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            answer.read()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)


class RouterProcess(Process):
    """`python -m router`."""

    def __init__(self, folder: Path, workers: int = 1, **settings: str) -> None:
        self.port = free_port()
        environ = {
            "EKIBEN_PORT": str(self.port),
            "EKIBEN_WORKERS": str(workers),
            "EKIBEN_DATA_DIR": str(folder / "data"),
            "EKIBEN_EXPERIMENTS_FILE": str(folder / "experiments.yaml"),
            "EKIBEN_DRAIN_S": "0",
            # Most tests' Redis forgets: they start and end within one.
            "EKIBEN_STATE_DURABLE": "no",
            **settings,
        }
        super().__init__("router", folder, ["-m", "router"], environ)
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        settle(Path(self._environ["EKIBEN_EXPERIMENTS_FILE"]))
        super().start()
        self.wait_for(f"{self.url}/readyz")

    def raw(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and read until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            parts = []
            while part := connection.recv(65_536):
                parts.append(part)
            return b"".join(parts)
