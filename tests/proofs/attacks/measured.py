"""`python -m tests.proofs.attacks.measured`: the router with one worker that notes how its loop turns.

It is `python -m router`, with one task more in the event loop: a tick each millisecond. Whoever connects to
the socket that EKIBEN_MEASURED names and sends a line gets, as a line of JSON, what has happened since the
last who did: the longest time between two ticks, the most CPU time that the loop's thread took between two,
and all of it. The line says how many seconds the next ticks are apart: ticks cost CPU too.
On a machine that does more than this, the times between ticks are those of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from typing import Final

import orjson

import router.app
from router.__main__ import main
from router.app import RouterApp

SOCKET: Final = "EKIBEN_MEASURED"
TICK_S: Final = 0.001


class Turns:
    """The ticks of an event loop, since they were last read."""

    def __init__(self) -> None:
        self.tick_s = TICK_S
        self._last = time.perf_counter()
        self._longest_s = self._longest_cpu_s = 0.0
        self._cpu_s = self._last_cpu_s = time.thread_time()

    async def tick(self) -> None:
        """Tick until cancelled."""
        while True:
            await asyncio.sleep(self.tick_s)
            now, cpu_s = time.perf_counter(), time.thread_time()
            self._longest_s = max(self._longest_s, now - self._last)
            self._longest_cpu_s = max(self._longest_cpu_s, cpu_s - self._last_cpu_s)
            self._last, self._last_cpu_s = now, cpu_s

    def read(self) -> bytes:
        """What there was, and begin anew."""
        cpu_s = time.thread_time()
        seconds = {
            "longest_ms": self._longest_s,
            "longest_cpu_ms": self._longest_cpu_s,
            "cpu_ms": cpu_s - self._cpu_s,
        }
        self._longest_s, self._longest_cpu_s, self._cpu_s = 0.0, 0.0, cpu_s
        return orjson.dumps({name: 1000 * each for name, each in seconds.items()}) + b"\n"


def measured(app: RouterApp) -> RouterApp:
    """The app; once it is started its loop is measured."""
    open_worker = app._open_worker

    async def opened(stack: contextlib.AsyncExitStack) -> router.app.Worker:
        worker = await open_worker(stack)
        turns = Turns()
        worker.spawn(turns.tick())

        async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            turns.tick_s = float(await reader.readline())
            writer.write(turns.read())
            await writer.drain()
            writer.close()

        stack.push_async_callback(_closed, await asyncio.start_unix_server(told, os.environ[SOCKET]))
        return worker

    app._open_worker = opened
    return app


async def _closed(server: asyncio.Server) -> None:
    server.close()


if __name__ == "__main__":
    create_app = router.app.create_app
    router.app.create_app = lambda: measured(create_app())
    sys.exit(main())
