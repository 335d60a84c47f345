"""What the state Redis says of itself decides whether anything is confirmed as stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ekiben.process.environ import BadSetting
from ekiben.state.connecting import open_state
from ekiben.state.durability import Durability, durable_choice, judge
from ekiben.state.embedded import EmbeddedRedis
from tests.redis_server import RedisServer

GOOD: dict[str, Any] = {
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "maxmemory_policy": "noeviction",
}
ALWAYS = {"appendfsync": "always", "no-appendfsync-on-rewrite": "no"}


@pytest.mark.parametrize(
    ("info", "config", "says"),
    [
        ({"aof_enabled": 0}, ALWAYS, "set `appendonly yes`"),
        ({"maxmemory_policy": "allkeys-lru"}, ALWAYS, "set `maxmemory-policy noeviction`"),
        ({"maxmemory_policy": "volatile-ttl"}, ALWAYS, "set `maxmemory-policy noeviction`"),
        ({"aof_last_write_status": "err"}, ALWAYS, "disk is full"),
        ({}, ALWAYS | {"appendfsync": "everysec"}, "set `appendfsync always`"),
        ({}, ALWAYS | {"appendfsync": "no"}, "set `appendfsync always`"),
        ({}, ALWAYS | {"no-appendfsync-on-rewrite": "yes"}, "set `no-appendfsync-on-rewrite no`"),
    ],
)
def test_whatever_breaks_the_promise_is_named_with_what_to_set(
    info: dict[str, Any], config: dict[str, str], says: str
) -> None:
    broken = judge(GOOD | info, config).broken
    assert broken is not None
    assert says in broken


def test_a_server_that_keeps_everything_is_fine_and_what_it_does_not_say_is_named() -> None:
    assert judge(GOOD, ALWAYS).broken is None
    assert judge(GOOD, ALWAYS).unread is None
    unread = judge(GOOD, None)
    assert unread.broken is None
    assert unread.unread == "appendfsync (CONFIG is not allowed)"


def test_a_server_that_says_nothing_keeps_nothing_unless_somebody_vouches_for_it() -> None:
    broken = judge({}, None).broken
    assert broken is not None
    assert "EKIBEN_STATE_DURABLE=yes" in broken


@pytest.fixture
async def server(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Any]:
    client = open_state(redis.url)
    yield client
    await client.aclose()


async def test_a_real_server_is_looked_at_again_and_again(server: Any) -> None:
    durability = Durability(server)
    assert durability.refusal is not None
    assert durability.durable is None
    await durability.look()
    assert "appendonly yes" in (durability.refusal or "")
    for name, value in (("appendonly", "yes"), ("appendfsync", "always")):
        await server.config_set(name, value)
    await durability.look()
    assert durability.refusal is None
    assert durability.durable is True
    await server.config_set("maxmemory-policy", "allkeys-lru")
    await durability.look()
    assert "allkeys-lru" in (durability.refusal or "")
    await server.config_set("maxmemory-policy", "noeviction")
    await server.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"], commands=["-config"])
    await durability.look()
    assert durability.refusal is None
    assert durability.view()["not_read"] == "appendfsync (CONFIG is not allowed)"


async def test_a_server_that_may_not_be_asked_is_told_with_what_to_do(server: Any) -> None:
    durability = Durability(server)
    await server.acl_setuser("default", enabled=True, nopass=True, categories=["+@all"], commands=["-info"])
    await durability.look()
    assert "EKIBEN_STATE_DURABLE=yes" in (durability.refusal or "")


async def test_while_it_is_away_what_it_said_last_stands(redis: RedisServer) -> None:
    client = open_state(redis.url)
    durability = Durability(client)
    await durability.look()
    said = durability.refusal
    redis.kill()
    await durability.look()
    assert durability.refusal == said
    await client.aclose()


async def test_who_knows_better_or_does_not_mind_is_not_refused(server: Any) -> None:
    for choice, durable in (("yes", True), ("no", False)):
        durability = Durability(server, choice)
        await durability.look()
        assert durability.refusal is None
        assert durability.durable is durable


def test_the_setting_is_one_of_three() -> None:
    assert durable_choice({}) == "check"
    with pytest.raises(BadSetting, match="check, yes, no"):
        durable_choice({"EKIBEN_STATE_DURABLE": "maybe"})


async def test_the_embedded_server_keeps_what_it_confirms_and_has_a_limit(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as embedded:
        client = open_state(embedded.addresses.state_url)
        durability = Durability(client)
        await durability.look()
        assert durability.refusal is None
        info = await client.info("memory")
        assert 0 < info["maxmemory"] <= 2 << 30
        await client.aclose()
