"""Running `ekiben` as people do, and looking at what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ekiben.state.embedded import socket_dir
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0

ONE_VERSION = """\
models:
  credit:
    live: v1
    versions:
      v1: {endpoints: ["http://127.0.0.1:3001"]}
"""
_SERVICE = re.compile(r"127\.0\.0\.1:(\d+)")


def environment(data_dir: Path, experiments: Path) -> dict[str, str]:
    """This environment, with a data directory and experiments of the test's own and the embedded Redis."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "REDIS_URL" and (not name.startswith("EKIBEN_") or name == "EKIBEN_TEST")
    }
    return {
        **kept,
        "EKIBEN_DATA_DIR": str(data_dir),
        "EKIBEN_EXPERIMENTS_FILE": str(experiments),
        "EKIBEN_PORT": str(free_port()),
        "EKIBEN_CONTROLLER_PORT": str(free_port()),
    }


def on_free_ports(experiments: str) -> str:
    """An experiments file with each of its services on a port that is free."""
    free: dict[str, int] = defaultdict(free_port)
    return _SERVICE.sub(lambda found: f"127.0.0.1:{free[found[1]]}", experiments)


def service_ports(env: Mapping[str, str]) -> list[int]:
    """The ports of the services in the experiments file, in its order."""
    return [int(port) for port in _SERVICE.findall(Path(env["EKIBEN_EXPERIMENTS_FILE"]).read_text())]


def ekiben(
    arguments: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT, timeout_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "ekiben", *arguments],
        env=env,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@dataclass
class Up:
    """A running `ekiben up`, ended with its block at the latest; its output goes to files."""

    process: subprocess.Popen[bytes]
    env: Mapping[str, str]
    out: Path
    err: Path

    def wait_for(self, text: str) -> None:
        """Wait until it has printed this."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.out.read_text():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline, self.out.read_text()
            time.sleep(0.05)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def __enter__(self) -> Up:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGTERM)

    def errors(self) -> list[str]:
        """The lines on its stderr."""
        return self.err.read_text().splitlines()


def start_up(arguments: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT) -> Up:
    """Start `ekiben up` and return at once."""
    folder = Path(env["EKIBEN_DATA_DIR"]).parent
    out, err = folder / "up.out", folder / "up.err"
    with out.open("wb") as out_file, err.open("wb") as err_file:
        command = [sys.executable, "-m", "ekiben", "up", *arguments]
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=out_file, stderr=err_file)
    return Up(process, env, out, err)


def processes_of(data_dir: Path) -> dict[int, str]:
    """pid → command line of every process that was started for this data directory."""
    wanted = f"EKIBEN_DATA_DIR={data_dir}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                mine = any(each.startswith(wanted) for each in (entry / "environ").read_bytes().split(b"\0"))
                if mine:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                pass
    return found


def assert_nothing_left(env: Mapping[str, str]) -> None:
    """No process, no socket, no listener."""
    data_dir = Path(env["EKIBEN_DATA_DIR"])
    assert processes_of(data_dir) == {}
    for folder in (data_dir, data_dir / "bench"):
        assert not socket_dir(folder).exists()
    for port in (int(env["EKIBEN_PORT"]), int(env["EKIBEN_CONTROLLER_PORT"]), *service_ports(env)):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
