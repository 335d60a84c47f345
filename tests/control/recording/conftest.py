from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from hypothesis import settings
from moto.server import ThreadedMotoServer
from redis.asyncio import Redis

from ekiben.control.recording.files import EventFiles
from tests.router.redis_server import RedisServer

settings.register_profile("recording", deadline=None)
settings.load_profile("recording")


@pytest.fixture
async def server() -> AsyncIterator[RedisServer]:
    """A real Redis, running and empty."""
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        server = RedisServer(Path(folder), "r")
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


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """A real S3 API on loopback: the environment that leads to it, with a bucket `events`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "loopback",
        "AWS_SECRET_ACCESS_KEY": "loopback",
    }
    pafs.S3FileSystem(
        access_key="loopback",
        secret_key="loopback",
        scheme="http",
        endpoint_override=f"127.0.0.1:{port}",
        region="us-east-1",
        allow_bucket_creation=True,
    ).create_dir("events")
    yield environ
    server.stop()


@pytest.fixture
def s3_files(s3: dict[str, str], tmp_path: Path) -> EventFiles:
    """Event files in an object store, below a prefix of the test's own."""
    return EventFiles(f"s3://events/{tmp_path.name}", s3)


@pytest.fixture(params=["files", "s3_files"])
def any_files(request: pytest.FixtureRequest) -> EventFiles:
    """Event files in a directory, then in an object store."""
    found: EventFiles = request.getfixturevalue(request.param)
    return found
