"""Outcomes through real routers, over a Redis as in production: what 202 and 503 are worth."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from ekiben.state.beats import Beat, Beats
from ekiben.state.connecting import open_state
from ekiben.state.streams.blocks import OUTCOMES_STREAM
from tests.ports import free_port
from tests.processes import ROOT, Process, RouterProcess
from tests.redis_server import RedisServer
from tests.router.documents import credit
from tests.state.reading import events_in
from tests.waiting import PATIENCE_S, until_async


@pytest.fixture
async def state(short_folder: Path) -> AsyncIterator[RedisServer]:
    """A Redis that syncs every write, and finds it again when it is started again."""
    server = RedisServer(short_folder, "state", "--appendonly", "yes", "--appendfsync", "always")
    await server.start()
    yield server
    server.kill()


@pytest.fixture
def router(short_folder: Path, state: RedisServer) -> Iterator[RouterProcess]:
    """A router of two workers; no model service is needed."""
    (short_folder / "experiments.yaml").write_text(yaml.safe_dump(credit()))
    settings = {
        "EKIBEN_CACHE_URL": state.url,
        "EKIBEN_STATE_URL": state.url,
        "EKIBEN_STATE_DURABLE": "check",
    }
    router = RouterProcess(short_folder, 2, **settings)
    router.start()
    yield router
    router.kill()


class Sender:
    """Sends outcomes of one each and knows which were answered with 202."""

    def __init__(self, url: str) -> None:
        self.accepted: set[str] = set()
        self.statuses: list[int] = []
        self._url = f"{url}/outcomes"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE_S)
        )

    async def send(self, outcome_id: str, **headers: str) -> int:
        outcome = {"user_id": f"u-{outcome_id}", "name": "profit", "value": 1, "id": outcome_id}
        async with self._session.post(self._url, json={"outcomes": [outcome]}, headers=headers) as answer:
            said = await answer.json(content_type=None)
            self.statuses.append(answer.status)
            if answer.status == 202:
                assert said["accepted"] == 1
                self.accepted.add(outcome_id)
            else:
                assert answer.content_type == "application/problem+json"
                if answer.status == 503:
                    assert int(answer.headers["retry-after"]) >= 1
            return answer.status

    async def until_accepted(self, outcome_id: str) -> None:
        """Send it again and again, as a client does who was told 503."""

        async def accepted() -> bool:
            return await self.send(outcome_id) == 202

        await until_async(accepted)

    async def problem(self, outcome_id: str) -> dict[str, Any]:
        """What it is told instead of 202."""
        outcome = {"user_id": "u", "name": "profit", "value": 1, "id": outcome_id}
        async with self._session.post(self._url, json={"outcomes": [outcome]}) as answer:
            return dict(await answer.json(content_type=None))

    async def page(self, path: str) -> dict[str, Any]:
        async with self._session.get(self._url.replace("/outcomes", path)) as answer:
            return dict(await answer.json())

    async def metrics(self) -> str:
        async with self._session.get(self._url.replace("/outcomes", "/metrics")) as answer:
            return await answer.text()

    async def close(self) -> None:
        await self._session.close()


@pytest.fixture
async def sender(router: RouterProcess) -> AsyncIterator[Sender]:
    sender = Sender(router.url)
    yield sender
    await sender.close()


async def written(state: RedisServer) -> list[str]:
    """The ids in the stream, in order, as often as they are there."""
    async with state.client() as client:
        entries = await client.xrange(OUTCOMES_STREAM)
    return [event.event_id for event in events_in(entries)]


async def blocks(state: RedisServer) -> int:
    async with state.client() as client:
        return int(await client.xlen(OUTCOMES_STREAM))


async def test_202_means_on_disk_though_redis_is_killed_right_after(
    sender: Sender, state: RedisServer
) -> None:
    for number in range(10):
        await sender.until_accepted(f"o-{number}")
        state.kill()
        await state.start()
    ids = await written(state)
    assert sorted(ids) == sorted(f"o-{number}" for number in range(10))


async def test_a_redis_that_would_lose_them_is_told_by_every_door_and_nothing_is_taken(
    sender: Sender, state: RedisServer
) -> None:
    await sender.until_accepted("before")
    async with state.client() as client:
        await client.config_set("appendonly", "no")

        async def refused() -> bool:
            return await sender.send("meanwhile") == 503

        await until_async(refused)
        problem, health = await sender.problem("meanwhile"), await sender.page("/healthz")
        assert problem["type"] == "urn:ekiben:problem:state-not-durable"
        assert "set `appendonly yes`" in problem["detail"]
        assert (health["state"]["durable"], health["state"]["reason"]) == (False, problem["detail"])

        async def shown() -> bool:
            return "\nekiben_state_durable 0.0" in await sender.metrics()

        await until_async(shown)
        await client.config_set("appendonly", "yes")
    await sender.until_accepted("after")
    assert (await written(state)).count("after") == 1


async def test_many_senders_at_once_share_blocks(sender: Sender, state: RedisServer) -> None:
    ids = [f"o-{number}" for number in range(1000)]
    assert set(await asyncio.gather(*map(sender.send, ids))) == {202}
    assert sorted(await written(state)) == sorted(ids)
    assert await blocks(state) < 300
    text = await sender.metrics()
    assert re.search(r"^ekiben_outcomes_accepted_total 1000\.0$", text, re.MULTILINE)


async def test_while_redis_is_away_it_is_503_and_what_was_accepted_is_there_once(
    sender: Sender, state: RedisServer
) -> None:
    await sender.until_accepted("before")
    state.kill()
    assert await sender.send("meanwhile") == 503
    await state.start()
    # As a client does who was told 503: again, with the same id.
    await sender.until_accepted("meanwhile")
    ids = await written(state)
    assert ids.count("before") == 1
    assert set(ids) == {"before", "meanwhile"}


async def test_nothing_that_was_accepted_is_lost_while_redis_and_workers_die(
    sender: Sender, state: RedisServer
) -> None:
    async def one(number: int) -> None:
        try:
            await sender.send(f"o-{number}")
        except (aiohttp.ClientError, OSError):
            pass  # its worker is gone

    dead: set[int] = set()
    await until_async(lambda: beats(state))
    for round_ in range(3):
        tasks = [asyncio.create_task(one(100 * round_ + number)) for number in range(100)]
        await asyncio.sleep(0.005 * round_)
        state.kill()
        await state.start()
        for beat in await beats(state):
            if beat.pid not in dead:  # the beat of one that was killed is still there for a while
                os.kill(beat.pid, signal.SIGKILL)
                dead.add(beat.pid)
                break
        await asyncio.gather(*tasks)
    assert sender.accepted
    assert dead
    ids = await written(state)
    assert all(ids.count(each) == 1 for each in sender.accepted)


async def beats(state: RedisServer) -> list[Beat]:
    client = open_state(state.url)
    try:
        return await Beats(client).read()
    finally:
        await client.aclose()


async def test_each_worker_beats_and_its_farewell_takes_it_away(
    router: RouterProcess, state: RedisServer
) -> None:
    async def both() -> list[Beat]:
        found = await beats(state)
        return found if len(found) == 2 and all(beat.revision for beat in found) else []

    found = await until_async(both)
    assert len({beat.worker for beat in found}) == len({beat.pid for beat in found}) == 2
    for beat in found:
        assert (beat.revision, beat.draining, beat.loopback, beat.outcomes_open) == (1, False, True, True)
        assert set(beat.versions) == {"credit/v1", "credit/v2", "credit/v3"}
    router.stop()
    assert await beats(state) == []


@pytest.fixture
def mounted(short_folder: Path, state: RedisServer) -> Iterator[str]:
    """The URL of the same app in a BentoML service."""
    port = free_port()
    (short_folder / "experiments.yaml").write_text(yaml.safe_dump(credit()))
    environ = {
        "BENTOML_HOME": str(short_folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "EKIBEN_CACHE_URL": state.url,
        "EKIBEN_STATE_URL": state.url,
        "EKIBEN_DATA_DIR": str(short_folder / "data"),
        "EKIBEN_EXPERIMENTS_FILE": str(short_folder / "experiments.yaml"),
    }
    serve = ["-m", "bentoml", "serve", "router.bento:EkibenRouter", "--host", "127.0.0.1"]
    serve += ["--port", str(port), "--working-dir", str(ROOT)]
    process = Process("mounted", short_folder, serve, environ)
    process.start()
    process.wait_for(f"http://127.0.0.1:{port}/readyz")
    yield f"http://127.0.0.1:{port}"
    process.stop()  # BentoML's workers have sessions of their own, and end when they are told to


async def test_it_works_mounted_in_bentoml_which_is_never_taken_for_loopback(
    mounted: str, state: RedisServer
) -> None:
    sender = Sender(mounted)
    await sender.until_accepted("o-1")
    await sender.close()
    assert await written(state) == ["o-1"]

    async def beating() -> list[Beat]:
        return await beats(state)

    (beat,) = await until_async(beating)
    assert not beat.loopback
