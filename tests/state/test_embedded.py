"""The embedded Redis pair, with the real servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ekiben.state.embedded import (
    Addresses,
    EmbeddedRedis,
    EmbeddedRedisError,
    addresses,
    remove_sockets,
    socket_dir,
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a folder with spaces"
    yield folder
    remove_sockets(folder)


def setting(client: redis.Redis, name: str) -> str:
    return str(client.config_get(name)[name])


def test_redis_url_stands_for_both_and_the_particular_ones_win(data_dir: Path) -> None:
    both = {"REDIS_URL": "redis://r:1"}
    assert addresses(both, data_dir) == Addresses("redis://r:1", "redis://r:1", embedded=False)
    one = {**both, "EKIBEN_CACHE_URL": "redis://c:2"}
    assert addresses(one, data_dir) == Addresses("redis://c:2", "redis://r:1", embedded=False)


def test_without_an_address_both_are_private_sockets_and_nothing_is_created(data_dir: Path) -> None:
    found = addresses({}, data_dir)
    assert found.embedded
    assert found.cache_url != found.state_url
    assert found.cache_url.startswith("unix:///tmp/")
    assert not socket_dir(data_dir).exists()


def test_a_socket_path_is_short_however_long_the_data_dir_is(tmp_path: Path) -> None:
    assert len(os.fsencode(socket_dir(tmp_path / ("long" * 60)) / "cache.sock")) < 100


def test_two_data_dirs_have_two_socket_dirs(tmp_path: Path) -> None:
    assert socket_dir(tmp_path / "a") != socket_dir(tmp_path / "b")


def test_the_cache_forgets_and_the_state_keeps(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as embedded:
        cache = redis.Redis.from_url(embedded.addresses.cache_url)
        state = redis.Redis.from_url(embedded.addresses.state_url)
        with cache, state:
            assert setting(cache, "maxmemory-policy") == "allkeys-lru"
            assert setting(cache, "maxmemory") == str(256 * 1024 * 1024)
            assert setting(cache, "appendonly") == "no"
            assert setting(cache, "save") == ""
            assert setting(state, "maxmemory-policy") == "noeviction"
            assert setting(state, "appendfsync") == "always"
            assert setting(state, "port") == "0"
            cache.set("k", "v")
            state.set("k", "v")
    with EmbeddedRedis(data_dir) as embedded:
        cache = redis.Redis.from_url(embedded.addresses.cache_url)
        state = redis.Redis.from_url(embedded.addresses.state_url)
        with cache, state:
            assert cache.get("k") is None
            assert state.get("k") == b"v"


def test_the_state_survives_a_killed_server(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as embedded:
        with redis.Redis.from_url(embedded.addresses.state_url) as state:
            state.set("k", "v")
        embedded.processes["state"].kill()
    with EmbeddedRedis(data_dir) as embedded, redis.Redis.from_url(embedded.addresses.state_url) as state:
        assert state.get("k") == b"v"


def test_closing_ends_both_servers_and_removes_the_sockets(data_dir: Path) -> None:
    embedded = EmbeddedRedis(data_dir)
    embedded.start()
    servers = list(embedded.processes.values())
    assert socket_dir(data_dir).stat().st_mode & 0o777 == 0o700
    embedded.close()
    assert [server.poll() for server in servers] == [0, 0]
    assert not socket_dir(data_dir).exists()


def test_a_second_pair_in_one_data_dir_is_refused_and_the_first_lives_on(data_dir: Path) -> None:
    with EmbeddedRedis(data_dir) as embedded:
        with pytest.raises(EmbeddedRedisError, match="already running"):
            EmbeddedRedis(data_dir).start()
        with redis.Redis.from_url(embedded.addresses.state_url) as state:
            assert state.ping()


def test_servers_that_outlive_their_parent_keep_others_out(data_dir: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from ekiben.state.embedded import EmbeddedRedis\n"
        "pair = EmbeddedRedis(Path(sys.argv[1])); pair.start()\n"
        "print(*(each.pid for each in pair.processes.values()), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(data_dir)], stdout=subprocess.PIPE, text=True, check=False
    )
    pids = [int(pid) for pid in killed.stdout.split()]
    try:
        assert killed.returncode == -signal.SIGKILL
        with pytest.raises(EmbeddedRedisError, match="already running"):
            EmbeddedRedis(data_dir).start()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["readable by others", "a link"])
def test_a_socket_dir_that_is_not_private_is_refused(data_dir: Path, kind: str) -> None:
    folder = socket_dir(data_dir)
    if kind == "a link":
        with tempfile.TemporaryDirectory() as target:
            folder.symlink_to(target)
            try:
                with pytest.raises(EmbeddedRedisError, match="not a private folder"):
                    addresses({}, data_dir)
            finally:
                folder.unlink()
    else:
        folder.mkdir()
        folder.chmod(0o755)
        try:
            with pytest.raises(EmbeddedRedisError, match="not a private folder"):
                EmbeddedRedis(data_dir).start()
        finally:
            folder.rmdir()


def test_a_server_that_cannot_start_is_one_line_with_its_log_and_leaves_nothing(data_dir: Path) -> None:
    embedded = EmbeddedRedis(data_dir)
    (data_dir / "redis").mkdir(parents=True)
    (data_dir / "redis" / "appendonly.aof").write_text("this is no append-only file\n")
    with pytest.raises(EmbeddedRedisError, match="redis-state") as raised:
        embedded.start()
    assert "\n" not in str(raised.value)
    assert not embedded.processes
    assert not socket_dir(data_dir).exists()
