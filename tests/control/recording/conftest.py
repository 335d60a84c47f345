from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from ekiben.control.recording.files import EventFiles
from tests.redis_server import RedisServer


@pytest.fixture
async def server(short_folder: Path) -> AsyncIterator[RedisServer]:
    """A real Redis, running and empty."""
    server = RedisServer(short_folder, "r")
    await server.start()
    yield server
    server.kill()


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    client = server.client()
    yield client
    await client.aclose()


@pytest.fixture
def files(tmp_path: Path) -> EventFiles:
    """Event files in a directory."""
    return EventFiles(str(tmp_path / "events"))


@pytest.fixture
def s3_files(s3: dict[str, str], tmp_path: Path) -> EventFiles:
    """Event files in an object store, below a prefix of the test's own."""
    return EventFiles(f"s3://events/{tmp_path.name}", s3)


@pytest.fixture(params=["files", "s3_files"])
def any_files(request: pytest.FixtureRequest) -> EventFiles:
    """Event files in a directory, then in an object store."""
    found: EventFiles = request.getfixturevalue(request.param)
    return found
