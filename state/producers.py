"""Idempotent appends: a block that is sent again after a lost reply is in its stream once.

A producer numbers its blocks. Beside the stream a key holds the number of its last one; one script compares,
appends and notes the number, and the append-only file takes all of it or nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from state.blocks import Event, encode_block
from state.document import StateUnavailable

SEND_TIMEOUT_S: Final = 2.0
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


@dataclass(frozen=True, slots=True)
class Block:
    """Events on their way, with the number that makes a repetition harmless."""

    number: int
    count: int
    fields: dict[bytes, bytes]


class Producer:
    """Appends blocks to one stream. Blocks are sent one after the other: one that is sent after a later one
    is not appended any more.
    """

    def __init__(self, redis: Redis, stream: str, new_id: Callable[[], str]) -> None:
        self._id = new_id()
        self._keys = [stream, f"ekiben:producer:{self._id}"]
        self._append = redis.register_script(_APPEND)
        self._number = 0

    def block(self, events: Sequence[Event]) -> Block:
        """The next block, not sent yet."""
        self._number += 1
        return Block(self._number, len(events), encode_block(f"{self._id}-{self._number}", events))

    async def send(self, block: Block, timeout_s: float = SEND_TIMEOUT_S) -> None:
        """Append a block, unless it is there; when this returns Redis has it on disk (`appendfsync always`).

        Raises `StateUnavailable` when that is not known: send the same block again, or give it up.
        """
        arguments: list[Any] = [block.number, _REMEMBERED_S]
        for name, value in block.fields.items():
            arguments += (name, value)
        try:
            async with asyncio.timeout(timeout_s):
                await self._append(keys=self._keys, args=arguments)
        except TimeoutError as error:
            raise StateUnavailable(str(error) or f"Redis did not answer within {timeout_s:g} s") from error
        except (RedisError, OSError, ValueError) as error:
            raise StateUnavailable(str(error)) from error

    async def append(self, events: Sequence[Event]) -> None:
        """Append events as a block of their own, tried once. Raises `StateUnavailable`."""
        await self.send(self.block(events))
