"""`python -m tests.proofs.attacks.flood PORT KIND`: clients that send the same over and over.

A process of its own, so that it takes its time from nobody's event loop. It prints `ready` when everything
is rendered and begins at the first line of its input. At the second one it sends nothing more, waits for what
is under way, and prints what came back as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from tests.proofs.attacks.kinds import kind
from tests.proofs.attacks.wire import parse_head

CLIENTS: Final = 4
_PATIENCE_S: Final = 10.0


@dataclass
class Flooded:
    """What was sent and what came back."""

    bytes_sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0


class Client:
    """One attacker on one connection, which is opened again when it was closed."""

    def __init__(self, port: int, bodies: Sequence[bytes], answers: int, flooded: Flooded) -> None:
        self._port = port
        self._bodies = bodies
        self._answers = answers
        self._flooded = flooded
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.stopping = False

    async def run(self, first: int) -> None:
        """Send until `stopping`, beginning with the body of that number."""
        number = first
        while not self.stopping:
            body = self._bodies[number % len(self._bodies)]
            number += 1
            begun = time.perf_counter()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await self._exchange(body)
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                self._flooded.statuses["closed"] += 1
                self._close()
            self._flooded.bytes_sent += len(body)
            self._flooded.longest_s = max(self._flooded.longest_s, time.perf_counter() - begun)

    async def _exchange(self, body: bytes) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(body)
        for _ in range(self._answers):
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head[:-4])
            self._flooded.statuses[str(status)] += 1
            if "content-length" in headers:
                await reader.readexactly(int(headers["content-length"]))
            if "content-length" not in headers or headers.get("connection") == "close":
                await reader.read()
                self._close()
                return
        await writer.drain()

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def flood(port: int, name: str) -> None:
    """Everything that the module promises."""
    wanted = kind(name)
    bodies = wanted.render()
    flooded = Flooded()
    print("ready", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)
    clients = [Client(port, bodies, wanted.answers, flooded) for _ in range(CLIENTS)]
    tasks = [asyncio.create_task(client.run(number)) for number, client in enumerate(clients)]
    await asyncio.to_thread(sys.stdin.readline)
    for client in clients:
        client.stopping = True
    await asyncio.gather(*tasks)
    print(orjson.dumps(vars(flooded)).decode(), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(flood(int(sys.argv[1]), sys.argv[2]))
