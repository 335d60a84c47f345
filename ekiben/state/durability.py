"""Whether the state Redis keeps what it confirms: read from the server itself, at start and again and again.

202 for an outcome promises that it is stored. A server without an append-only file, or one that evicts keys,
answers the same commands and keeps no promise; one that is configured again, or whose disk fails, stops
keeping it while everything runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ekiben.process.environ import choice

_EVERY_S: Final = 5.0
_AGAIN_S: Final = 0.5
_MANAGED: Final = "if the service guarantees it, say so with EKIBEN_STATE_DURABLE=yes"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a server says: why it does not keep what it confirms, or None; and what it did not say."""

    broken: str | None
    unread: str | None = None


def judge(info: Mapping[str, Any], config: Mapping[Any, Any] | None) -> Kept:
    """Decide from INFO and from `CONFIG GET *appendfsync*` (None where that is forbidden)."""
    broken: str | None = None
    if "aof_enabled" not in info or "maxmemory_policy" not in info:
        broken = f"the state Redis does not say whether it keeps what it confirms: {_MANAGED}"
    elif not info["aof_enabled"]:
        broken = (
            "the state Redis keeps no append-only file, so a crash loses what it confirmed: set `appendonly "
            f"yes` and `appendfsync always`; {_MANAGED}"
        )
    elif info["maxmemory_policy"] != "noeviction":
        broken = (
            f"the state Redis may evict what it confirmed (maxmemory-policy {info['maxmemory_policy']}): "
            "set `maxmemory-policy noeviction`, and use another Redis as the cache"
        )
    elif info.get("aof_last_write_status", "ok") != "ok":
        broken = (
            "the state Redis cannot write its append-only file: see its log, and whether its disk is full"
        )
    elif config is None:
        return Kept(None, "appendfsync (CONFIG is not allowed)")
    elif config.get("appendfsync") != "always":
        broken = (
            f"the state Redis syncs its append-only file too late (appendfsync {config.get('appendfsync')}), "
            "so a crash loses the last second: set `appendfsync always`"
        )
    elif config.get("no-appendfsync-on-rewrite") == "yes":
        broken = (
            "the state Redis does not sync while it rewrites its append-only file: set "
            "`no-appendfsync-on-rewrite no`"
        )
    return Kept(broken)


class Durability:
    """What one process knows of its state Redis. `choice` is EKIBEN_STATE_DURABLE: `check`, or `yes` or `no`
    from who knows better, or does not mind.

    `redis` is not closed here.
    """

    def __init__(self, redis: Redis, choice: str = "check") -> None:
        self._redis = redis
        self.choice = choice
        self.found: Kept | None = None

    @property
    def refusal(self) -> str | None:
        """Why nothing may be confirmed as stored, or None."""
        if self.choice != "check":
            return None
        if self.found is None:
            return "whether the state Redis keeps what it confirms is not known yet"
        return self.found.broken

    @property
    def durable(self) -> bool | None:
        """Whether what is confirmed is kept; None while that is not known."""
        if self.choice == "yes":
            return True
        return None if self.found is None else self.found.broken is None

    def view(self) -> dict[str, object]:
        """For health pages."""
        found = self.found
        return {
            "durable": self.durable,
            "reason": found.broken if found is not None and self.choice != "yes" else None,
            "not_read": found.unread if found is not None else None,
            "setting": self.choice,
        }

    async def look(self) -> None:
        """Ask the server. While it does not answer, what it said last stands."""
        try:
            async with asyncio.timeout(2.0):
                info = await _allowed(self._redis.info()) or {}
                config = await _allowed(self._redis.config_get("*appendfsync*"))
        except (RedisError, OSError):
            return
        found = judge(info, config)
        if found != self.found and found.broken and self.choice != "yes":
            what = "outcomes are refused" if self.choice == "check" else "outcomes are taken all the same"
            log.warning("%s (%s)", found.broken, what)
        elif self.found is not None and self.found.broken and not found.broken:
            log.info("the state Redis keeps what it confirms again")
        self.found = found

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S if self.found is not None else _AGAIN_S)


async def _allowed(asked: Awaitable[Mapping[Any, Any]]) -> Mapping[Any, Any] | None:
    """What was asked for, None where this user may not ask."""
    try:
        return await asked
    except ResponseError:
        return None


def durable_choice(environ: Mapping[str, str]) -> str:
    """`EKIBEN_STATE_DURABLE`. Raises `BadSetting`."""
    return choice(environ, "EKIBEN_STATE_DURABLE", "check", ("check", "yes", "no"))
