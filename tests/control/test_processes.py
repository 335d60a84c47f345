"""Controllers and a router as they run: real processes, of which one is stopped while it leads."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import yaml
from redis.asyncio import Redis

from ekiben.control.desk import REPORTS_KEY
from ekiben.experiments.lifecycle import Status
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.report import Report
from ekiben.state.beats import Beats
from ekiben.state.connecting import open_state
from ekiben.state.documents.audit import Audit
from ekiben.state.documents.document import DocumentStore, Stored, dump_document
from ekiben.state.lease import LEASE_KEY
from tests.control.conftest import TOKEN, document
from tests.control.evidence import put_report, report
from tests.ports import free_port
from tests.processes import Process, RouterProcess, settle
from tests.redis_server import RedisServer
from tests.router.documents import EXPERIMENT
from tests.waiting import until_async

WORKERS = 2


class ControllerProcess(Process):
    """`python -m ekiben.control`, which analyses once, when it begins to lead."""

    def __init__(self, name: str, folder: Path, redis: RedisServer) -> None:
        port = free_port()
        environ = {
            "EKIBEN_STATE_URL": redis.url,
            "EKIBEN_DATA_DIR": str(folder / name),
            "EKIBEN_EVENTS_URL": str(folder / "events"),
            "EKIBEN_CONTROLLER_PORT": str(port),
            "EKIBEN_ADMIN_TOKEN": TOKEN,
            "EKIBEN_ANALYSE_EVERY_S": "86400",
        }
        super().__init__(name, folder, ["-m", "ekiben.control"], environ)
        self.url = f"http://127.0.0.1:{port}"


class Installation:
    """A Redis, a router with two workers whose services are not there, two controllers."""

    def __init__(self, folder: Path, redis: RedisServer, client: Redis) -> None:
        self.client = client
        self.store = DocumentStore(client)
        self.router = RouterProcess(folder, WORKERS, EKIBEN_STATE_URL=redis.url, EKIBEN_CACHE_URL=redis.url)
        self.controllers = [ControllerProcess(name, folder, redis) for name in ("first", "second")]
        (folder / "experiments.yaml").write_text(
            yaml.safe_dump(dump_document(document(ramp={"steps": [100]})), sort_keys=False)
        )
        settle(folder / "experiments.yaml")

    async def held(self) -> Stored:
        stored = await self.store.load()
        assert stored is not None
        return stored

    async def leader(self) -> bytes | None:
        """What the lease says."""
        return await self.client.get(LEASE_KEY)

    async def reported_at(self) -> float:
        """When the last report was made; 0 without one."""
        held = await self.client.hget(REPORTS_KEY, EXPERIMENT)  # type: ignore[misc]
        return msgspec.json.decode(held, type=Report).at if held else 0.0

    async def changes_by(self, who: str) -> int:
        return sum(entry.who == who for entry in await Audit(self.client).entries())

    async def revisions(self) -> list[int | None]:
        """What each worker of the router routes by."""
        return [beat.revision for beat in await Beats(self.client).read()]

    def end(self) -> None:
        for process in (*self.controllers, self.router):
            process.kill()


@pytest.fixture
async def installation(redis: RedisServer) -> AsyncIterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        client = open_state(redis.url)
        made = Installation(Path(folder), redis, client)
        try:
            yield made
        finally:
            made.end()
            await client.aclose()


@contextmanager
def stopped(process: Process) -> Iterator[None]:
    """The process stands still for as long as the block does."""
    process.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.signal(signal.SIGCONT)


async def test_a_leader_that_was_stopped_is_followed_by_another_and_a_violation_is_acted_on_once(
    installation: Installation,
) -> None:
    first, second = installation.controllers
    Process.start(installation.router)  # which puts the experiments into Redis
    await until_async(installation.store.load)  # the first controller analyses once, when it begins to lead
    first.start()
    await until_async(installation.reported_at)
    leading = await installation.leader()
    second.start()
    second.wait_for(f"{second.url}/readyz")
    with stopped(first):
        before = await installation.reported_at()

        async def taken_over() -> bool:
            return await installation.leader() not in (None, leading)

        await until_async(taken_over)

        # The new leader begins with a report of its own; the violation comes after that.
        async def analysed() -> bool:
            return await installation.reported_at() > before

        await until_async(analysed)
        bad = report(await installation.held(), EXPERIMENT, time.time(), guardrail=State.VIOLATED)
        await put_report(installation.client, bad)

        async def rolled_back() -> bool:
            held = await installation.held()
            return held.document.experiments[EXPERIMENT].status is Status.ROLLED_BACK

        await until_async(rolled_back)
        revision = (await installation.held()).revision

        async def everywhere() -> bool:
            return await installation.revisions() == [revision] * WORKERS

        await until_async(everywhere)

    async def noticed() -> bool:
        return "lease lost" in first.log.read_text()

    await until_async(noticed)
    assert await installation.leader() != leading
    assert await installation.changes_by("ramp") == 1
    assert (await installation.held()).revision == revision
