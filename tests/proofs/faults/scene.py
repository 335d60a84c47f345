"""What a fault acts on, and the faults of processes: services, Redis, the router."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.proofs.faults.load import Load
from tests.proofs.faults.processes import Process, RedisServer, http_get, is_alive
from tests.proofs.faults.station import GRACE_S, Station

# Longer than a breaker's first pauses, so that trials fall into the fault.
HOLD_S: Final = 3.0


@dataclass
class Scene:
    """A station under load. `broken` gathers the promises that a fault itself saw broken."""

    station: Station
    load: Load
    hold_s: float = HOLD_S
    broken: list[str] = field(default_factory=list)

    def process(self, name: str) -> Process:
        """A service by its name, or `cache` or `state`."""
        if name in ("cache", "state"):
            return self.redis(name)
        return self.station.services[name]

    def redis(self, name: str) -> RedisServer:
        """`cache` or `state`."""
        return self.station.cache if name == "cache" else self.station.state

    async def hold(self) -> None:
        """Let the fault last."""
        await asyncio.sleep(self.hold_s)

    def expect(self, holds: bool, otherwise: str) -> None:
        """Note a broken promise."""
        if not holds:
            self.broken.append(otherwise)


async def until(what: Callable[[], bool], within_s: float, every_s: float = 0.05) -> bool:
    """Wait until `what` is true, at most so long; whether it is."""
    end = time.monotonic() + within_s
    while not what():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(every_s)
    return True


Apply = Callable[[Scene], AbstractAsyncContextManager[None]]
"""A fault: present inside the block, mended at its end."""


def killed(name: str) -> Apply:
    """SIGKILL; started again at the end."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        process = scene.process(name)
        await asyncio.to_thread(process.kill)
        try:
            yield
        finally:
            await asyncio.to_thread(process.start)

    return apply


def paused(name: str) -> Apply:
    """SIGSTOP: connections stay open and are accepted, nothing answers; SIGCONT at the end."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        process = scene.process(name)
        process.pause()
        try:
            yield
        finally:
            process.go_on()

    return apply


def misbehaving(name: str, way: str) -> Apply:
    """A service that fails in one of `service.WAYS`."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        service = scene.station.service(name)
        await asyncio.to_thread(service.misbehave, way)
        try:
            yield
        finally:
            await asyncio.to_thread(service.misbehave, "")

    return apply


def configured(name: str, **settings: str) -> Apply:
    """A Redis with other settings (`CONFIG SET`), put back at the end."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        def change(values: dict[str, str]) -> dict[str, str]:
            with scene.redis(name).client() as client:
                before: dict[str, str] = {}
                for key, value in values.items():
                    before.update(client.config_get(key))
                    client.config_set(key, value)
                return before

        plain = {key.replace("_", "-"): value for key, value in settings.items()}
        before = await asyncio.to_thread(change, plain)
        try:
            yield
        finally:
            await asyncio.to_thread(change, before)

    return apply


def out_of_memory(name: str) -> Apply:
    """No memory left and nothing that may be evicted: every write is refused."""
    return configured(name, maxmemory="1", maxmemory_policy="noeviction")


def commanded(name: str, at_start: tuple[Any, ...], at_end: tuple[Any, ...] = ()) -> Apply:
    """A Redis that is given a command, and another at the end."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        def execute(command: tuple[Any, ...]) -> None:
            with scene.redis(name).client() as client:
                client.execute_command(*command)

        await asyncio.to_thread(execute, at_start)
        try:
            yield
        finally:
            if at_end:
                await asyncio.to_thread(execute, at_end)

    return apply


def read_only(name: str) -> Apply:
    """A replica of nobody: it serves what it has and refuses every write."""
    return commanded(name, ("REPLICAOF", "127.0.0.1", "9"), ("REPLICAOF", "NO", "ONE"))


def flushed(name: str) -> Apply:
    """FLUSHALL, once."""
    return commanded(name, ("FLUSHALL",))


def restarted_empty(name: str) -> Apply:
    """Killed, its data removed, started again at once."""

    @asynccontextmanager
    async def apply(scene: Scene) -> AsyncIterator[None]:
        def restart() -> None:
            redis = scene.redis(name)
            redis.empty()
            redis.start()

        await asyncio.to_thread(restart)
        yield

    return apply


@asynccontextmanager
async def worker_killed(scene: Scene) -> AsyncIterator[None]:
    """SIGKILL for one of the router's workers; its replacement is waited for."""
    station, load = scene.station, scene.load
    load.worker_dies()
    pid = station.kill_worker()
    await until(lambda: not is_alive(pid), 30.0, every_s=0.005)
    await asyncio.sleep(0.05)  # the client hears of it in the next turns of its event loop
    load.worker_is_gone()
    yield
    replaced = await until(lambda: station.worker_replaced(pid), 30.0)
    scene.expect(replaced, "no worker took the killed one's place within 30 s")


@asynccontextmanager
async def router_told_to_stop(scene: Scene) -> AsyncIterator[None]:
    """SIGTERM, and a load balancer that sends no more once it sees `/readyz` at 503. It is started again."""
    router, load = scene.station.router, scene.load
    told = time.monotonic()
    os.kill(router.pid, signal.SIGTERM)
    ready = await _readyz_turns(scene)
    scene.expect(ready == 503, f"/readyz gave {ready} and not 503 before the router stopped listening")
    await asyncio.sleep(0.3)  # until the load balancer knows, it goes on
    await load.stop()
    try:
        yield
        await until(lambda: not router.runs, GRACE_S + 5.0)
        took = time.monotonic() - told
        scene.expect(not router.runs, f"the router still ran {took:.0f} s after SIGTERM")
        scene.expect(took <= GRACE_S, f"it took {took:.1f} s to stop, of {GRACE_S} s")
    finally:
        code = await asyncio.to_thread(router.terminate, 1.0)
        scene.expect(code == 0, f"the router's exit code was {code}")
        await asyncio.to_thread(scene.station.start)


async def _readyz_turns(scene: Scene) -> int | None:
    """The first status of `/readyz` other than 200; None where nobody answers."""
    while True:
        status = await asyncio.to_thread(http_get, f"{scene.station.url}/readyz", 10.0)
        if status != 200:
            return status
        await asyncio.sleep(0.02)
