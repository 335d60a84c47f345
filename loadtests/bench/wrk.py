"""One run of wrk, and what it printed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from loadtests.bench.errors import BenchError
from loadtests.bench.streams import SCRIPT, Stream

_MARK: Final = "BENCH "
# A response that late is an error; what waits in an honest queue is not.
_TIMEOUT: Final = "10s"


@dataclass(frozen=True, slots=True)
class Round:
    """What one run measured. Latencies are of whole requests, as the client sees them."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def bytes_each(self) -> float:
        """The mean size of a response, head and body."""
        return self.bytes / self.requests if self.requests else 0.0


def require_wrk() -> str:
    """Where wrk is. Raises BenchError."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("wrk is not installed, and drives the load: install the Debian package `wrk`")
    return found


def read_output(output: str) -> Round:
    """What `stream.lua` printed last. Raises BenchError, with wrk's own words, when it did not get there."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith(_MARK)), None)
    if line is None:
        words = " ".join(output.split())[-200:]
        raise BenchError(f"wrk measured nothing: {words or 'it printed nothing'}")
    printed = json.loads(line[len(_MARK) :])
    return Round(
        requests=printed["requests"],
        seconds=printed["duration_us"] / 1e6,
        bytes=printed["bytes"],
        p50_ms=printed["p50_us"] / 1000,
        p99_ms=printed["p99_us"] / 1000,
        errors=sum(printed[kind] for kind in ("connect", "read", "write", "status", "timeout")),
    )


def command(url: str, stream: Stream, first: int, clients: int, seconds: int) -> list[str]:
    """The command line: one thread of wrk, which is enough to keep two cores busy with serving."""
    start = "repeats" if stream.repeats else str(first - 1)
    return [
        require_wrk(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", _TIMEOUT, "-s", str(SCRIPT), url,
        "--", str(stream.data), start,
    ]  # fmt: skip


class Load:
    """A run of wrk under way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def stop(self) -> Round:
        """End it now and return what it measured until then."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        return await self.result()

    async def result(self) -> Round:
        """Wait for its end and return what it measured."""
        output, _ = await self._process.communicate()
        return read_output(output.decode("utf-8", "replace"))


@asynccontextmanager
async def loaded(url: str, stream: Stream, first: int, clients: int, seconds: int) -> AsyncIterator[Load]:
    """Start wrk; leaving the block ends it."""
    process = await asyncio.create_subprocess_exec(
        *command(url, stream, first, clients, seconds),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield Load(process)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def drive(url: str, stream: Stream, first: int, clients: int, seconds: int) -> Round:
    """Run wrk once."""
    async with loaded(url, stream, first, clients, seconds) as load:
        return await load.result()
