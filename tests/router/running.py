"""A real router (`python -m router`) over a model service in this process, and raw sockets to speak to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.ports import free_port
from tests.waiting import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]

FEATURES_SCHEMA = {"type": "object", "properties": {"row": {"type": "integer"}}}


class ModelServer:
    """A model service on loopback: answers `row` with `row`; `hold` lets its calls wait."""

    def __init__(self, version: str) -> None:
        gate = self.gate = threading.Event()
        gate.set()
        arrived = self.arrived = threading.Event()
        tag = f"credit_{version}:1"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                info = {
                    "name": f"credit_{version}",
                    "version": version,
                    "model_version": tag,
                    "features": FEATURES_SCHEMA,
                    "output": {"score": "score", "positive": "yes", "decision": "decision"},
                }
                self._answer(info)

            def do_POST(self) -> None:
                rows = json.loads(self.rfile.read(int(self.headers["content-length"])))
                arrived.set()
                gate.wait(PATIENCE_S)
                self._answer([self._row(row) for row in rows])

            def _row(self, row: dict[str, Any]) -> dict[str, Any]:
                if not isinstance(row.get("row", 0), int):
                    return {"error": {"status": 422, "errors": [{"loc": ["row"], "msg": "a whole number"}]}}
                return {"ok": {"row": row.get("row"), "score": 0.5, "decision": "yes", "by": version}}

            def _answer(self, data: object) -> None:
                body = json.dumps(data).encode()
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.send_header("X-Model-Version", tag)
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Let calls arrive and wait, until `release`."""
        self.arrived.clear()
        self.gate.clear()

    def release(self) -> None:
        """Answer what waits, and what comes."""
        self.gate.set()

    def close(self) -> None:
        """End it."""
        self.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@dataclass(frozen=True)
class Answer:
    """A response as it came; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One TCP connection, spoken on by hand."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._reader = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self) -> Answer:
        """The next response; fails when the connection ends before it is whole."""
        line = self._reader.readline()
        assert line, "closed without an answer"
        headers: dict[str, str] = {}
        while (header := self._reader.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(int(line.split()[1]), headers, self._reader.read(int(headers["content-length"])))

    def is_closed(self) -> bool:
        """Wait until the other side closes: true when it does so without another byte."""
        try:
            return self._reader.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._reader.close()
        self.socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(
    port: int,
    path: str,
    data: object = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
) -> Answer:
    """One request on a connection of its own: GET, or POST where there is something to send."""
    body = b"" if data is None else json.dumps(data).encode()
    lines = [f"{method or ('GET' if data is None else 'POST')} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if data is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    with Connection(port) as connection:
        connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        return connection.read()


def predict(port: int, user: str | None = "u-1", row: object = 1, **headers: str) -> Answer:
    """`POST /predict/credit`."""
    data = {"features": {"row": row}} | ({} if user is None else {"user_id": user})
    return ask(
        port, "/predict/credit", data, {name.replace("_", "-"): text for name, text in headers.items()}
    )


def router_environment(folder: Path, **settings: str) -> dict[str, str]:
    """This environment with the router's settings, and no Redis anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EKIBEN_", "REDIS_"))}
    kept.pop("PROMETHEUS_MULTIPROC_DIR", None)
    return {
        **kept,
        "EKIBEN_PORT": str(free_port()),
        "EKIBEN_DATA_DIR": str(folder / "data"),
        "EKIBEN_EXPERIMENTS_FILE": str(folder / "experiments.yaml"),
        **{f"EKIBEN_{name.upper()}": value for name, value in ({"drain_s": "0"} | settings).items()},
    }


def write_experiments(folder: Path, services: Mapping[str, ModelServer], **model: Any) -> None:
    """`credit`: v1 live; where there is a v2, everyone takes part and is overridden by name, or drawn."""
    endpoints = {
        name: {"endpoints": [f"http://127.0.0.1:{service.port}"]} for name, service in services.items()
    }
    document: dict[str, Any] = {
        "models": {"credit": {"live": "v1", "timeout_ms": 10_000, "versions": endpoints} | model}
    }
    if "v2" in services:
        variants = {
            "control": {"version": "v1", "weight": 50},
            "treatment": {"version": "v2", "weight": 50},
        }
        document["experiments"] = {
            "credit-boosting": {
                "model": "credit",
                "status": "running",
                "variants": variants,
                "overrides": {"u-treatment": "treatment"},
            }
        }
    (folder / "experiments.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")


class RouterProcess:
    """A running `python -m router`; its output goes to a file."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        env = router_environment(folder, **settings)
        self.port = int(env["EKIBEN_PORT"])
        self.log = folder / "router.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "router"],
                cwd=ROOT,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        """Return when it answers."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return ask(self.port, "/readyz").status == 200
            except OSError:
                return False

        wait_for(ready)

    def told(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(within_s)

    def end(self) -> None:
        """End it and its workers, in whatever state it is."""
        if self.process.poll() is None:
            self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextlib.contextmanager
def running_router(folder: Path, **settings: str) -> Iterator[RouterProcess]:
    """Start a router over the experiments in `folder`, wait until it is ready, and end it."""
    router = RouterProcess(folder, **settings)
    try:
        router.wait_until_ready()
        yield router
    finally:
        router.end()
