from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.router.redis_server import RedisServer


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    """A real Redis, running and empty."""
    with tempfile.TemporaryDirectory(prefix="ek-", dir="/tmp") as folder:
        server = RedisServer(Path(folder), "r")
        await server.start()
        yield server
        server.kill()
