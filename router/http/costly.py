"""Bounds on what a request may cost, and the way in which costly requests share a worker's event loop.

Theory of operation:

1. What it costs to read a body follows from its elements far more than from its bytes. A megabyte of
   `[],[],[]` takes a hundred times as long as a megabyte of text. Elements are counted before anything is
   parsed, which takes a microsecond for a kilobyte, and bounded.
2. A small body, or one with few elements, is read at once.
3. Anything else is costly. Costly work is done one step at a time. After a step no other one begins for
   three times as long as that step took: costly work gets at most a quarter of the event loop.
4. At most `MAX_WAITING` costly requests wait for their turn, and each only for as long as it could still be
   answered in time.

A thread would not help: orjson holds the interpreter as long as it reads. The limits are such that a step
takes a few milliseconds at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from router.errors import BodyTooLarge, Overloaded

MAX_ELEMENTS: Final = 20_000
"""The default of `EKIBEN_MAX_ELEMENTS`. Each one costs at most 0.2 µs to read and to write again."""
SMALL_BYTES: Final = 2048
"""A body of at most so many bytes cannot be costly, whatever it holds."""
MAX_WAITING: Final = 64
_CHEAP_BYTES: Final = 32 * 1024
_CHEAP_ELEMENTS: Final = 1024
_PAUSE: Final = 3.0

T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work in steps: what lies between two `yield`s is done without a pause. It returns its result."""


def count_elements(body: bytes) -> int:
    """The commas, colons, opening brackets and opening braces of `body`, also those inside of strings.

    JSON has about as many values and field names, and never more than one more.
    """
    return len(body) - len(body.translate(None, b",:[{"))


def is_costly(body: bytes) -> bool:
    """Whether reading `body` takes a turn. Of a long one not even the elements are counted without."""
    if len(body) <= SMALL_BYTES:
        return False
    return len(body) > _CHEAP_BYTES or count_elements(body) > _CHEAP_ELEMENTS


def check_elements(body: bytes, most: int) -> None:
    """Raise `BodyTooLarge` when `body`, unless it is small, has more than `most` elements."""
    if len(body) > SMALL_BYTES and (elements := count_elements(body)) > most:
        raise BodyTooLarge(
            f"the body has {elements} elements, counted by its commas, colons and opening brackets: "
            f"at most {most} are taken"
        )


def at_once(steps: Steps[T]) -> T:
    """The result of `steps`, done without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


@dataclass(eq=False)
class Turns:
    """The turns that costly work takes in one event loop."""

    max_waiting: int = MAX_WAITING
    clock: Callable[[], float] = time.monotonic
    waiting: int = field(default=0, init=False)
    """Requests whose costly work is not done yet."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _free_at: float = field(default=0.0, init=False)

    async def read(self, body: bytes, steps: Steps[T], wait_s: float) -> T:
        """The result of `steps`, which read `body`. They are run where that is costly, else done at once."""
        return await self.run(steps, wait_s) if is_costly(body) else at_once(steps)

    async def run(self, steps: Steps[T], wait_s: float) -> T:
        """The result of `steps`, each of them done in a turn of its own.

        Raises `Overloaded` when too many requests wait already, and when the work is not done within `wait_s`
        seconds.
        """
        if self.waiting >= self.max_waiting:
            raise Overloaded(f"{self.waiting} large requests wait for their turn")
        self.waiting += 1
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    async with self.turn():
                        try:
                            next(steps)
                        except StopIteration as end:
                            result: T = end.value
                            return result
        except TimeoutError:
            raise Overloaded("large requests wait too long for their turn") from None
        finally:
            self.waiting -= 1

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it until the end of the block."""
        async with self._lock:
            # Also where nothing is left to wait for, the loop looks at everybody else once between two turns.
            await asyncio.sleep(max(self._free_at - self.clock(), 0.0))
            began = self.clock()
            try:
                yield
            finally:
                ended = self.clock()
                self._free_at = ended + _PAUSE * (ended - began)


class Shared(Generic[T]):
    """Something costly that is made once for all who ask before its making begins."""

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What is made from now on at the earliest; its failure is everybody's."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> T:
        async with self._lock:
            self._next = None  # who asks from now on gets the next one
            return await self._make()
