"""What is measured, started together: `ekiben up --bench`, a service called directly, the empty app."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ekiben.clients.routed import until_routed
from ekiben.terminal.errors import EkibenError
from ekiben.up.launch import check_ports
from ekiben.up.lock import locked
from ekiben.up.processes import Child, Children
from ekiben.up.readiness import Part, until_ready, watched
from loadtests.bench.errors import BenchError

DATA_DIR: Final = Path(".ekiben/loadtests")
ROUTER_PORT: Final = 13401
SERVICE_PORTS: Final = {"v1": 13402, "v2": 13403}
DIRECT_PORT: Final = 13404
EMPTY_PORT: Final = 13405
_UP_GRACE_S: Final = 20.0

_DOCUMENT: Final = """\
# Made by `make bench`; overwritten every time.
models:
  credit:
    live: v1
    versions:
      v1: {{endpoints: ["http://127.0.0.1:{v1}"]}}
      v2: {{endpoints: ["http://127.0.0.1:{v2}"]}}
experiments:
  credit-boosting:
    model: credit
    status: running
    variants:
      control: {{version: v1, weight: 50}}
      treatment: {{version: v2, weight: 50}}
"""


@dataclass(frozen=True, slots=True)
class Stack:
    """What has been started, and for more of it: the children and their data directory."""

    children: Children
    data_dir: Path

    @property
    def router(self) -> str:
        """The router's address."""
        return f"http://127.0.0.1:{ROUTER_PORT}"

    @property
    def services(self) -> dict[str, str]:
        """The addresses of the services behind the router, by version."""
        return {version: f"http://127.0.0.1:{port}" for version, port in SERVICE_PORTS.items()}

    @property
    def empty(self) -> str:
        """The empty app's address."""
        return f"http://127.0.0.1:{EMPTY_PORT}"

    @property
    def direct(self) -> str:
        """The address of the service that is called directly."""
        return f"http://127.0.0.1:{DIRECT_PORT}"


@asynccontextmanager
async def started(direct_version: str) -> AsyncIterator[Stack]:
    """Start everything, wait until it can work, and end it again. Raises BenchError.

    Within the block the death of any of the processes raises BenchError.
    """
    try:
        with ExitStack() as undo:
            lock = undo.enter_context(locked(DATA_DIR))
            logs = DATA_DIR / "logs"
            logs.mkdir(exist_ok=True)
            children = Children(logs, lock, DATA_DIR)
            undo.callback(children.end)
            stack = Stack(children, DATA_DIR.absolute())
            async with watched(children):
                await _start(stack, undo, direct_version)
                yield stack
    except EkibenError as error:
        raise BenchError(str(error)) from None


async def _start(stack: Stack, undo: ExitStack, direct_version: str) -> None:
    file = stack.data_dir / "experiments.yaml"
    file.write_text(_DOCUMENT.format(**SERVICE_PORTS), encoding="utf-8")
    ports = {"the router": ROUTER_PORT, "the direct service": DIRECT_PORT, "the empty app": EMPTY_PORT}
    ports |= {f"credit {version}": port for version, port in SERVICE_PORTS.items()}
    check_ports({name: (port, "loadtests/bench/stack.py") for name, port in ports.items()})
    up = stack.children.start(
        "up",
        [sys.executable, "-m", "ekiben", "up", "--bench", "--port", str(ROUTER_PORT)],
        _up_environment(stack, file),
    )
    undo.callback(lambda: stack.children.stop([up], _UP_GRACE_S))
    direct = start_service(stack, undo, direct_version, DIRECT_PORT)
    empty = stack.children.start("empty", [sys.executable, "-m", "loadtests.bench.empty", str(EMPTY_PORT)])
    undo.callback(lambda: stack.children.stop([empty], 3.0))
    parts = [
        Part(up, f"{stack.router}/readyz"),
        Part(direct, f"{stack.direct}/readyz"),
        Part(empty, f"{stack.empty}/readyz"),
    ]
    await until_ready(parts, lambda _part: None)
    await until_routed(stack.router, [f"credit/{version}" for version in SERVICE_PORTS], 1)


def start_service(stack: Stack, undo: ExitStack, version: str, port: int) -> Child:
    """Start one more service of a version of `credit`, as `ekiben up` starts those behind the router."""
    target = f"services.credit_{version}:Credit{version.upper()}"
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    child = stack.children.start(f"direct-{version}-{port}", command, {"BENTOML_DO_NOT_TRACK": "true"})
    undo.callback(lambda: stack.children.stop([child], 5.0))
    return child


def _up_environment(stack: Stack, file: Path) -> Mapping[str, str]:
    return {
        "EKIBEN_DATA_DIR": str(stack.data_dir),
        "EKIBEN_EXPERIMENTS_FILE": str(file),
        "COLUMNS": "120",
    }


def router_pid(stack: Stack) -> int:
    """The process id of the router's one worker. Raises BenchError."""
    wanted = f"EKIBEN_PORT={ROUTER_PORT}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            environ = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[1:4] == [b"-P", b"-m", b"router"] and wanted in environ:
            return int(entry.name)
    raise BenchError("the router's process cannot be found")


def rss_mib(pid: int) -> float:
    """The resident memory of a process in MiB. Raises BenchError when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    raise BenchError(f"process {pid} has ended")
