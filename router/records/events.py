"""What was served, on its way to Redis: events are gathered in memory and sent as a block every 50 ms."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Final, Protocol

from msgspec.structs import replace
from redis.asyncio import Redis

from ekiben.state.connecting import StateUnavailable
from ekiben.state.streams.blocks import EVENTS_STREAM
from ekiben.state.streams.events import Event, Exposure, Prediction, Served
from ekiben.state.streams.producers import Block, Producer
from ekiben.state.streams.trimming import trim_to
from router.records.metrics import Metrics

log = logging.getLogger(__name__)

_FLUSH_S: Final = 0.050
_MAX_HELD: Final = 100_000
_MAX_BLOCK: Final = 5_000
# Characters of clients' JSON. A MiB takes 3 ms to compress, readers refuse large blocks, memory has an end.
_MAX_BLOCK_TEXT: Final = 1024 * 1024
_MAX_HELD_TEXT: Final = 64 * 1024 * 1024
_TRIM_EVERY_S: Final = 5.0
_TAILS: Final = 256
_TAIL_BYTES: Final = 10
_RANDOM: Final = int.from_bytes(bytes.fromhex("0fff3fffffffffffffff") * _TAILS)
_FIXED: Final = int.from_bytes(bytes.fromhex("70008000000000000000") * _TAILS)


class Events(Protocol):
    """Where the hot path leaves what it served."""

    def add(self, event: Event) -> None:
        """Take an event. Never waits."""
        ...


class InMemoryEvents:
    """Events in a list, for tests."""

    def __init__(self) -> None:
        self.held: list[Event] = []

    def add(self, event: Event) -> None:
        """Keep it."""
        self.held.append(event)


class IdMaker:
    """Makes UUIDs of version 7 (RFC 9562, section 5.7), as 32 hex digits: 48 bits of milliseconds, the
    version, 12 random bits, the variant, 62 random bits.

    Nobody can guess one. Ids of one minute are near each other, so that a reader who looks for some finds
    them in few files.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._from = self._until = 0.0  # no time at all
        self._head = ""
        self._tails: list[str] = []

    def __call__(self) -> str:
        now = self._clock()
        if not self._from <= now < self._until:
            ms = int(now * 1000)
            self._from, self._until, self._head = ms / 1000, (ms + 1) / 1000, f"{ms:012x}"
        if not self._tails:
            self._tails = _draw_tails()
        return self._head + self._tails.pop()


def _draw_tails() -> list[str]:
    """What follows the time in a block of ids. Drawn, and given version and variant, all at once."""
    size = _TAILS * _TAIL_BYTES
    drawn = int.from_bytes(os.urandom(size)) & _RANDOM | _FIXED
    digits = drawn.to_bytes(size).hex()
    return [digits[start : start + 20] for start in range(0, len(digits), 20)]


class RedisEvents:
    """Sends blocks of events to the state Redis. While it is away events wait, up to a limit; then they are
    dropped, and counted: recording never slows serving."""

    def __init__(
        self, redis: Redis, metrics: Metrics, max_stream_bytes: int, new_id: Callable[[], str]
    ) -> None:
        self._redis = redis
        self._metrics = metrics
        self._max_stream_bytes = max_stream_bytes
        self._producer = Producer(redis, EVENTS_STREAM, new_id)
        self._held: list[Event] = []
        self._held_text = 0
        self._block: Block | None = None
        self.failing = False
        self.sent = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Events in memory."""
        return len(self._held) + (self._block.count if self._block is not None else 0)

    def add(self, event: Event) -> None:
        """Take an event; it leaves with the next block."""
        size = _text(event)
        if self._held_text + size > _MAX_HELD_TEXT and isinstance(event, Served):
            # That somebody was exposed counts for more than what is said of them.
            event, size = replace(event, attributes=None), size - len(event.attributes or "")
        if len(self._held) >= _MAX_HELD or self._held_text + size > _MAX_HELD_TEXT:
            self.dropped += 1
            self._metrics.events_dropped.inc()
            return
        self._held_text += size
        self._held.append(event)

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
                self._block = self._producer.block(self._take())
            # The same block, with the same number, until Redis has it: it is in the stream once.
            try:
                await self._producer.send(self._block)
            except StateUnavailable as error:
                if not self.failing:
                    log.warning("events cannot be sent, they wait: %s", error)
                self.failing = True
                return
            count, self._block = self._block.count, None
            self.failing = False
            self.sent += count
            self._metrics.events_sent.inc(count)

    def _take(self) -> list[Event]:
        """The oldest events, as many as go into a block."""
        texts = list(accumulate(map(_text, self._held[:_MAX_BLOCK])))
        count = max(bisect_right(texts, _MAX_BLOCK_TEXT), 1)
        self._held_text -= texts[count - 1]
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    async def _trim(self) -> None:
        try:
            trimmed = await trim_to(self._redis, EVENTS_STREAM, self._max_stream_bytes)
        except StateUnavailable:
            return  # the next round tries again
        if trimmed:
            self._metrics.event_blocks_trimmed.inc(trimmed)
            log.warning("the stream of events was over its limit: %d old blocks were trimmed", trimmed)


def _text(event: Event) -> int:
    """How many characters of attributes and captured features an event has."""
    if type(event) is Exposure:
        return len(event.attributes or "")
    return len(event.features or "") + len(event.attributes or "") if type(event) is Prediction else 0
