"""`python -m ekiben.state.wait`, with a real Redis that comes late."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.redis_server import RedisServer
from tests.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]


def start(folder: Path, url: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = folder / "wait.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ekiben.state.wait"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "EKIBEN_STATE_URL": url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return process, log


async def test_it_waits_and_says_why_and_ends_when_redis_answers(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path, "late")
    process, log = start(tmp_path, redis.url)
    try:
        await until(lambda: "waiting for the state Redis" in log.read_text())
        assert process.poll() is None
        await redis.start()
        assert await until(lambda: process.poll() is not None)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        redis.kill()


async def test_an_address_that_is_none_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    process, log = start(tmp_path, "http://redis:6379")
    assert process.wait(PATIENCE_S) == 2
    assert len(log.read_text().splitlines()) == 1
