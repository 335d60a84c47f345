"""What was served, on its way to Redis: events are gathered in memory and sent as a block every 50 ms."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from state.blocks import EXPOSURES_STREAM, Event, encode_block
from state.user import user_hash

log = logging.getLogger(__name__)

_FLUSH_S: Final = 0.050
_MAX_HELD: Final = 100_000
_MAX_BLOCK: Final = 5_000
_SEND_TIMEOUT_S: Final = 2.0
_TRIM_EVERY_S: Final = 5.0
_MAX_HASHES: Final = 20_000


class EventMetrics(Protocol):
    """What becomes of events."""

    def sent(self, events: int) -> None:
        """Events in a block that Redis has."""

    def dropped(self, events: int) -> None:
        """Events that no room was left for."""

    def trimmed(self, blocks: int) -> None:
        """Blocks taken from the old end of the stream, past its byte limit."""


class Events(Protocol):
    """Where the hot path leaves what it served."""

    def add(self, user_id: str | None, event: Event) -> None:
        """Take an event whose `user_hash` is still to be filled in. Never waits."""
        ...


class InMemoryEvents:
    """Events in a list, for tests: pairs of the user id in clear and the event."""

    def __init__(self) -> None:
        self.held: list[tuple[str | None, Event]] = []

    def add(self, user_id: str | None, event: Event) -> None:
        """Keep it."""
        self.held.append((user_id, event))


class IdMaker:
    """Ids that no other process makes: a random prefix of 64 bits and a count."""

    __slots__ = ("_count", "_prefix")

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(8)
        self._count = 0

    def __call__(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count:08x}"


class RedisEvents:
    """Sends exposure blocks to the state Redis. While it is away events wait, up to a limit; then they are
    dropped, and counted: recording never slows serving."""

    def __init__(
        self,
        redis: Redis,
        salt: bytes,
        metrics: EventMetrics,
        max_stream_bytes: int,
        new_id: Callable[[], str],
    ) -> None:
        self._redis = redis
        self._salt = salt
        self._metrics = metrics
        self._max_stream_bytes = max_stream_bytes
        self._new_id = new_id
        self._held: list[tuple[str | None, Event]] = []
        self._block: tuple[dict[bytes, bytes], int] | None = None
        self._hashes: dict[str, str] = {}
        self.failing = False

    def add(self, user_id: str | None, event: Event) -> None:
        """Take an event; it leaves with the next block."""
        if len(self._held) >= _MAX_HELD:
            self._metrics.dropped(1)
            return
        self._held.append((user_id, event))

    async def run(self) -> None:
        """Send a block every 50 ms until cancelled; then send what is left."""
        next_trim = 0.0
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(_FLUSH_S if not self.failing else 0.5)
                await self.flush()
                if loop.time() >= next_trim:
                    next_trim = loop.time() + _TRIM_EVERY_S
                    await self._trim()
        except asyncio.CancelledError:
            await self.flush()
            raise

    async def flush(self) -> None:
        """Send what is held, block by block, until nothing is left or Redis fails."""
        while self._block is not None or self._held:
            if self._block is None:
                events, self._held = self._held[:_MAX_BLOCK], self._held[_MAX_BLOCK:]
                fields = encode_block(self._new_id(), [self._complete(*held) for held in events])
                self._block = fields, len(events)
            # The same block, with the same id, until Redis has it: a reader drops what came twice.
            fields, count = self._block
            try:
                async with asyncio.timeout(_SEND_TIMEOUT_S):
                    await self._redis.xadd(EXPOSURES_STREAM, cast("dict[Any, Any]", fields))
            except (RedisError, OSError, TimeoutError, ValueError) as error:
                if not self.failing:
                    log.warning("events cannot be sent, they wait: %s", error)
                self.failing = True
                return
            self.failing = False
            self._block = None
            self._metrics.sent(count)

    def _complete(self, user_id: str | None, event: Event) -> Event:
        if user_id is None:
            return event
        hashed = self._hashes.get(user_id)
        if hashed is None:
            if len(self._hashes) >= _MAX_HASHES:
                self._hashes.clear()
            hashed = self._hashes[user_id] = user_hash(self._salt, user_id)
        return (*event[:4], hashed, *event[5:])

    async def _trim(self) -> None:
        try:
            async with asyncio.timeout(_SEND_TIMEOUT_S):
                used = await self._redis.memory_usage(EXPOSURES_STREAM) or 0
                if used <= self._max_stream_bytes:
                    return
                blocks = await self._redis.xlen(EXPOSURES_STREAM)
                keep = int(blocks * 0.9 * self._max_stream_bytes / used)
                trimmed = await self._redis.xtrim(EXPOSURES_STREAM, maxlen=keep, approximate=False)
        except (RedisError, OSError, TimeoutError, ValueError):
            return  # the next round tries again
        self._metrics.trimmed(int(trimmed))
        log.warning("the exposures stream was over its limit: %d old blocks were trimmed", trimmed)
