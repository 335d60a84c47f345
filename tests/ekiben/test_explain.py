"""Where `ekiben explain` reads the experiments, and that it names the place truthfully."""

from __future__ import annotations

from pathlib import Path

import pytest

from ekiben.showing.explain import find_source
from ekiben.state.documents.document import open_store
from ekiben.terminal.settings import Settings
from tests.ekiben.running import ROOT
from tests.redis_server import RedisServer
from tests.router.documents import credit_document

EMPTY = "the state Redis is empty"
AWAY = "does not answer"


@pytest.fixture
def settings(redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("EKIBEN_STATE_URL", redis.url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    return Settings.from_environ(
        {"EKIBEN_DATA_DIR": str(tmp_path), "EKIBEN_EXPERIMENTS_FILE": str(ROOT / "experiments.yaml")}
    )


@pytest.fixture
async def copy(redis: RedisServer, settings: Settings) -> Path:
    """The copy of a router, of a document that Redis holds no longer."""
    store = open_store(redis.url)
    stored = await store.change(None, credit_document(), who="me", why="first")
    await store.close()
    path = settings.data_dir / "snapshot.json"
    path.write_bytes(stored.as_record().to_json())
    redis.kill()
    await redis.start()
    return path


async def test_the_file_is_named_with_why_it_was_read(settings: Settings, redis: RedisServer) -> None:
    assert (await find_source(settings)).where == f"{settings.experiments_file}; {EMPTY}"
    redis.kill()
    where = (await find_source(settings)).where
    assert where.startswith(f"{settings.experiments_file}; the state Redis at {redis.url} {AWAY}")
    assert EMPTY not in where


async def test_the_copy_is_named_with_why_it_was_read(
    settings: Settings, redis: RedisServer, copy: Path
) -> None:
    assert (await find_source(settings)).where == f"the router's copy ({copy}); {EMPTY}"
    redis.kill()
    where = (await find_source(settings)).where
    assert where.startswith(f"the router's copy ({copy}); the state Redis at {redis.url} {AWAY}")
