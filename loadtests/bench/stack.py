"""What is measured, started together: `ekiben up --bench`, a service called directly, the empty app."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import aiohttp
import psutil  # type: ignore[import-untyped]
import yaml

from ekiben.clients.routed import until_routed
from ekiben.terminal.errors import EkibenError
from ekiben.up.launch import check_ports
from ekiben.up.lock import locked
from ekiben.up.processes import Child, Children
from ekiben.up.readiness import Part, until_ready, watched
from loadtests.bench.document import document
from loadtests.bench.errors import BenchError

DATA_DIR: Final = Path(".ekiben/loadtests")
ROUTER_PORT: Final = 13401
SERVICE_PORTS: Final = {"v1": 13402, "v2": 13403}
DIRECT_PORT: Final = 13404
EMPTY_PORT: Final = 13405
_UP_GRACE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Stack:
    """What has been started, and what to start more with."""

    router: ClassVar = f"http://127.0.0.1:{ROUTER_PORT}"
    services: ClassVar = {version: f"http://127.0.0.1:{port}" for version, port in SERVICE_PORTS.items()}
    direct: ClassVar = f"http://127.0.0.1:{DIRECT_PORT}"
    empty: ClassVar = f"http://127.0.0.1:{EMPTY_PORT}"

    children: Children
    data_dir: Path
    undo: ExitStack
    session: aiohttp.ClientSession

    def start(
        self, name: str, command: Sequence[str], grace_s: float, more: Mapping[str, str] | None = None
    ) -> Child:
        """Start `python COMMAND` until the stack ends, when it has `grace_s` to end itself."""
        child = self.children.start(name, [sys.executable, *command], more)
        self.undo.callback(self.children.stop, [child], grace_s)
        return child

    def start_service(self, version: str, port: int) -> Child:
        """Start one more service of a version of `credit`, as `ekiben up` starts those behind the router."""
        target = f"services.credit.{version}:Credit{version.upper()}"
        command = ["-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
        return self.start(f"direct-{version}-{port}", command, 5.0, {"BENTOML_DO_NOT_TRACK": "true"})


@asynccontextmanager
async def started(direct_version: str) -> AsyncIterator[Stack]:
    """Start everything, wait until it can work, and end it again. Raises BenchError.

    Within the block the death of any of the processes raises BenchError.
    """
    timeout = aiohttp.ClientTimeout(total=30)
    try:
        with ExitStack() as undo:
            lock = undo.enter_context(locked(DATA_DIR))
            logs = DATA_DIR / "logs"
            logs.mkdir(exist_ok=True)
            children = Children(logs, lock, DATA_DIR)
            undo.callback(children.end)
            async with watched(children), aiohttp.ClientSession(timeout=timeout) as session:
                stack = Stack(children, DATA_DIR.absolute(), undo, session)
                await _start(stack, direct_version)
                yield stack
    except EkibenError as error:
        raise BenchError(str(error)) from None


async def _start(stack: Stack, direct_version: str) -> None:
    file = stack.data_dir / "experiments.yaml"
    text = yaml.safe_dump(document(stack.services), sort_keys=False)
    file.write_text(f"# Made by `make bench`; overwritten every time.\n{text}", encoding="utf-8")
    ports = {"the router": ROUTER_PORT, "the direct service": DIRECT_PORT, "the empty app": EMPTY_PORT}
    ports |= {f"credit {version}": port for version, port in SERVICE_PORTS.items()}
    check_ports({name: (port, "loadtests/bench/stack.py") for name, port in ports.items()})
    environment = {
        "EKIBEN_DATA_DIR": str(stack.data_dir),
        "EKIBEN_EXPERIMENTS_FILE": str(file),
        "COLUMNS": "120",
    }
    up = ["-m", "ekiben", "up", "--bench", "--port", str(ROUTER_PORT)]
    parts = [
        Part(stack.start("up", up, _UP_GRACE_S, environment), f"{stack.router}/readyz"),
        Part(stack.start_service(direct_version, DIRECT_PORT), f"{stack.direct}/readyz"),
        Part(
            stack.start("empty", ["-m", "loadtests.bench.empty", str(EMPTY_PORT)], 3.0),
            f"{stack.empty}/readyz",
        ),
    ]
    await until_ready(parts, lambda _part: None)
    await until_routed(stack.router, [f"credit/{version}" for version in SERVICE_PORTS], 1)


def router_process() -> psutil.Process:
    """The router's one worker. Raises BenchError."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_router = process.cmdline()[1:4] == ["-P", "-m", "router"]
            if is_router and process.environ().get("EKIBEN_PORT") == str(ROUTER_PORT):
                return process
    raise BenchError("the router's process cannot be found")


def rss_mib(process: psutil.Process) -> float:
    """The resident memory of a process in MiB. Raises BenchError when it is gone."""
    try:
        return float(process.memory_info().rss / 2**20)
    except psutil.Error:
        raise BenchError(f"process {process.pid} has ended") from None
