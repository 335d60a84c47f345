"""Idempotent appends: a block that is sent again after a lost reply is in its stream once.

A producer numbers its blocks. Beside the stream a key holds the number of its last one; one script compares,
appends and notes the number, and the append-only file, and a replica, takes all of it or nothing.

A producer with replicas asks on the same connection how many of them have what was written so far: `WAIT`
counts those that have it in memory, and `WAITAOF`, where the server knows it (Redis 7.2), those that have it
on disk. Both hold for everything before them, so a repetition that finds its block appended waits for it too.
`WAITAOF` alone takes a second: a replica is asked while it is about to sync, and reports again on the next
second. After `WAIT` it has synced when it is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from ekiben.state.connecting import StateUnavailable
from ekiben.state.streams.blocks import encode_block
from ekiben.state.streams.events import Event

SEND_TIMEOUT_S: Final = 2.0
# Together less than SEND_TIMEOUT_S, and each less than a client waits for an answer (`open_state`). A replica
# with `appendfsync everysec` has it on disk after a second.
_IN_MEMORY_WITHIN_MS: Final = 500
_ON_DISK_WITHIN_MS: Final = 1_100
# Far longer than anybody sends one block again.
_REMEMBERED_S: Final = 24 * 3600

# KEYS: the stream, the producer's last number. ARGV: the block's number, how long it is remembered, then the
# entry's fields. Appended first: an append that Redis refuses for want of memory leaves no number behind.
_APPEND: Final = """
if tonumber(ARGV[1]) <= tonumber(redis.call('GET', KEYS[2]) or '0') then return 0 end
redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return 1
"""


# What a refusal of Redis's says, and what a client may read of it.
_REFUSALS: Final = (
    ("OOM", "the state Redis has no memory left"),
    ("MISCONF", "the state Redis cannot write to its disk"),
    ("READONLY", "the state Redis is a replica and takes no writes"),
    ("NOREPLICAS", "the state Redis has too few replicas"),
)


class NotStored(StateUnavailable):
    """Redis answers, and does not store it. The message says nothing about the installation."""


@dataclass(frozen=True, slots=True)
class Block:
    """Events on their way, with the number that makes a repetition harmless."""

    number: int
    count: int
    fields: dict[bytes, bytes]


class Producer:
    """Appends blocks to one stream. Blocks are sent one after the other: one that is sent after a later one
    is not appended any more. A block is sent once `replicas` replicas have it too.
    """

    def __init__(self, redis: Redis, stream: str, new_id: Callable[[], str], replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self._on_disk = True  # whether Redis knows WAITAOF: until it says that it does not
        self._id = new_id()
        self._keys = [stream, f"ekiben:producer:{self._id}"]
        self._append = redis.register_script(_APPEND)
        self._number = 0

    def block(self, events: Sequence[Event]) -> Block:
        """The next block, not sent yet."""
        self._number += 1
        return Block(self._number, len(events), encode_block(f"{self._id}-{self._number}", events))

    async def send(self, block: Block, timeout_s: float = SEND_TIMEOUT_S) -> None:
        """Append a block, unless it is there; when this returns Redis has it on disk (`appendfsync always`),
        and so do the replicas.

        Raises `NotStored` when Redis or too few replicas have it, and `StateUnavailable` when that is not
        known: send the same block again, or give it up.
        """
        fields = (part for item in block.fields.items() for part in item)
        arguments: list[Any] = [block.number, _REMEMBERED_S, *fields]
        try:
            async with asyncio.timeout(timeout_s):
                if self._replicas:
                    await self._append_and_wait(arguments)
                else:
                    await self._append(keys=self._keys, args=arguments)
        except (RedisError, OSError, ValueError, RuntimeError) as error:  # uvloop's, of a closed transport
            for word, meaning in _REFUSALS:
                if isinstance(error, ResponseError) and word in str(error):
                    raise NotStored(meaning) from error
            raise StateUnavailable(str(error) or f"Redis did not answer within {timeout_s:g} s") from error

    async def _append_and_wait(self, arguments: list[Any]) -> None:
        # Not a transaction: nothing may wait inside one.
        async with self._redis.pipeline(transaction=False) as pipeline:
            await self._append(keys=self._keys, args=arguments, client=pipeline)
            pipeline.execute_command("WAIT", self._replicas, _IN_MEMORY_WITHIN_MS)
            if self._on_disk:
                pipeline.execute_command("WAITAOF", 1, self._replicas, _ON_DISK_WITHIN_MS)
            done, reached, *more = await pipeline.execute(raise_on_error=False)
        for answer in (done, reached, *more):
            if isinstance(answer, ResponseError):
                if "unknown command" not in str(answer):
                    raise answer
                self._on_disk, more = False, []
        if more:
            ((here, reached),) = more
            if not here:
                raise NotStored("the state Redis has not synced it to disk in time")
        if reached < self._replicas:
            raise NotStored(f"{reached} of {self._replicas} replicas of the state Redis have it in time")
