"""A stream kept within a byte limit: first goes what its readers have acknowledged, then the oldest."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from redis.asyncio import Redis

from ekiben.state.connecting import state_answers
from ekiben.state.entry_id import EntryId

_TIMEOUT_S: Final = 2.0
# Trimmed to a little less, so that a stream at its limit is not trimmed with every look.
_ROOM: Final = 0.9


async def trim_to(redis: Redis, stream: str, max_bytes: int) -> int:
    """Trim `stream` when it takes more than `max_bytes` of memory.

    Returns how many entries went that some consumer group, or nobody at all, had yet to acknowledge: they
    are lost. Raises `StateUnavailable`.
    """
    with state_answers(ValueError):
        async with asyncio.timeout(_TIMEOUT_S):
            if (await redis.memory_usage(stream) or 0) <= max_bytes:
                return 0
            acknowledged = await _acknowledged(redis, stream)
            if acknowledged is not None:
                await redis.xtrim(stream, minid=acknowledged, approximate=False)
            used = await redis.memory_usage(stream) or 0
            if used <= max_bytes:
                return 0
            keep = int(await redis.xlen(stream) * _ROOM * max_bytes / used)
            return int(await redis.xtrim(stream, maxlen=keep, approximate=False))


async def _acknowledged(redis: Redis, stream: str) -> str | None:
    """The id before which every group has acknowledged everything; None without a group."""
    ends = []
    for group in await redis.xinfo_groups(stream):
        name, delivered = group["name"], group["last-delivered-id"]
        # Asked after the last delivered: what was delivered since lies behind it, and changes nothing.
        pending: dict[str, Any] = await redis.xpending(stream, name)
        end = EntryId.parse(delivered).next
        ends.append(end if pending["min"] is None else min(end, EntryId.parse(pending["min"])))
    return str(min(ends)) if ends else None
