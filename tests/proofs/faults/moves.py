"""Faults that are changes: coverage moved under load, the panic switch, and clients that behave badly."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from ekiben.experiments.document import Document
from ekiben.state.connecting import StateUnavailable
from ekiben.state.documents.document import Conflict, DocumentStore, open_store
from ekiben.state.panic import RELEASE_S
from tests.proofs.faults.answers import TREATMENT
from tests.proofs.faults.scene import Apply, Scene, until
from tests.proofs.faults.station import EXPERIMENT

_SETTLE_S: Final = 30.0
_HEAD: Final = (
    b"POST /predict/credit HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n"
)


def coverage_moved(times: int, every_s: float = 0.04) -> Apply:
    """Coverage taken back and raised to 100 again, one document revision a step."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        expected = scene.load.expected
        expected.coverage_moves = True
        store = open_store(scene.station.state.url)
        try:
            for step in range(1, times + 1):
                await _set_coverage(store, 100.0 * step / times)
                await asyncio.sleep(every_s)
            await _settled(scene, coverage=100.0)
            yield
        finally:
            expected.coverage_moves = False
            await store.close()

    return apply


async def _set_coverage(store: DocumentStore, coverage: float) -> None:
    end = time.monotonic() + _SETTLE_S
    while True:
        try:
            held = await store.load()
            if held is not None:
                experiment = held.document.experiments[EXPERIMENT].model_copy(update={"coverage": coverage})
                document = Document(models=held.document.models, experiments={EXPERIMENT: experiment})
                await store.change(held, document, who="faults", why="a ramp under load")
                return
        except (Conflict, StateUnavailable):
            pass  # a worker refills an emptied Redis at the same time: once more
        if time.monotonic() > end:
            raise TimeoutError("coverage could not be changed")
        await asyncio.sleep(0.02)


async def _settled(scene: Scene, coverage: float) -> None:
    """Wait until both workers route by full coverage: 40 answers in a row say so."""
    end = time.monotonic() + _SETTLE_S
    url = f"{scene.station.url}/assignment/{EXPERIMENT}?user_id="
    inside = 0
    async with aiohttp.ClientSession(headers={"connection": "close"}) as session:
        while inside < 40 and time.monotonic() < end:
            async with session.get(f"{url}user-{inside}") as answer:
                said = await answer.json()
            inside = inside + 1 if said["in_experiment"] else 0
    scene.expect(inside == 40, f"coverage {coverage:.0f} was not everywhere after {_SETTLE_S:.0f} s")
    await asyncio.sleep(1.0)  # what was under way is answered


@asynccontextmanager
async def panic_pressed(scene: Scene) -> AsyncIterator[None]:
    """The panic file appears: within a second everyone gets live, whatever else is broken; then it goes."""
    expected = scene.load.expected
    expected.coverage_moves = True
    file = scene.station.panic_file
    file.write_text("credit\n")
    await asyncio.sleep(2.0)  # a second, and another for a busy machine
    pressed = time.monotonic()
    try:
        yield
        treated = scene.load.answered_by(TREATMENT, pressed)
        scene.expect(not treated, f"{treated} requests got the treatment after the panic switch")
    finally:
        file.unlink()
        await asyncio.sleep(RELEASE_S + 1.5)
        expected.coverage_moves = False


@asynccontextmanager
async def slow_senders(scene: Scene) -> AsyncIterator[None]:
    """200 clients that send a byte of a head or of a body every half second."""
    host, port = "127.0.0.1", scene.station.port
    body = _HEAD % 900 + b"x" * 900
    head = b"POST /predict/credit HTTP/1.1\r\n" + b"x-slow: 1\r\n" * 100
    closed = 0

    async def send(request: bytes, at_once: int) -> None:
        nonlocal closed
        reader, writer = await asyncio.open_connection(host, port)
        with contextlib.suppress(OSError):
            writer.write(request[:at_once])
            for byte in request[at_once:]:
                await asyncio.sleep(0.5)
                writer.write(bytes([byte]))
                await writer.drain()
                if reader.at_eof():
                    break
        closed += 1
        writer.close()

    tasks = [asyncio.create_task(send(head, 10)) for _ in range(100)]
    tasks += [asyncio.create_task(send(body, len(body) - 900)) for _ in range(100)]
    try:
        yield
        await until(lambda: closed == len(tasks), 30.0)
        scene.expect(closed == len(tasks), f"{len(tasks) - closed} slow senders were never closed")
    finally:
        await _end(tasks)


@asynccontextmanager
async def clients_disconnecting(scene: Scene) -> AsyncIterator[None]:
    """Clients that leave in the middle of a body, and right after it, before the answer."""
    host, port = "127.0.0.1", scene.station.port
    content = b'{"user_id":"user-1","features":{"row":"left","amount":1}}'
    head = _HEAD % len(content)

    async def leave() -> None:
        while True:
            for part in (head + content[:20], head + content):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(host, port)
                    writer.write(part)
                    await asyncio.sleep(0.001)
                    writer.transport.abort()
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(leave()) for _ in range(4)]
    try:
        yield
    finally:
        await _end(tasks)


def idle_connections(number: int) -> Apply:
    """A client that holds so many connections and says nothing."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        held: list[asyncio.BaseTransport] = []
        try:
            for _ in range(number // 50):
                opened = await asyncio.gather(
                    *(
                        loop.create_connection(asyncio.Protocol, "127.0.0.1", scene.station.port)
                        for _ in range(50)
                    )
                )
                held += [transport for transport, _ in opened]
            open_now = sum(not transport.is_closing() for transport in held)
            scene.expect(open_now > 0.9 * number, f"of {number} connections {open_now} were held")
            yield
        finally:
            for transport in held:
                transport.close()

    return apply


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
