"""Which of the installation's workers this one is: what a budget of the whole installation is divided by.

Every second a worker's beat is answered with who beats. Workers that divide a budget by different sets would
together exceed it, so that three rules hold, all with `AGREED_AFTER_S`:

1. A set that was asked for longer ago than that is not used any more.
2. A set that has changed is used once it has been known for that long.
3. So is a set that comes after a silence of that long: others have divided without this worker meanwhile.

So whoever uses a former set has ended before anybody uses the new one. A silent worker stops using its last
set before the others take it for gone (`IGNORED_AFTER_S`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

AGREED_AFTER_S: Final = 3.0


class Peers:
    """`me` is the id that this worker beats by. A worker that has heard of nobody has no part in anything."""

    def __init__(self, me: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.me = me
        self._clock = clock
        self._workers: list[str] = []
        self._asked = self._since = float("-inf")

    def know(self, workers: Collection[str], asked: float) -> None:
        """These beat, as of a moment after `asked`, by the clock."""
        known = sorted(workers)
        if known != self._workers or asked - self._asked > AGREED_AFTER_S:
            self._workers, self._since = known, self._clock()
        self._asked = asked

    def part(self, budget: int, second: int) -> int:
        """This worker's part of the budget of a second; of all workers they add up to it.

        What cannot be divided goes to each worker in turn.
        """
        now = self._clock()
        if now - self._asked > AGREED_AFTER_S or now - self._since < AGREED_AFTER_S:
            return 0
        if self.me not in self._workers:
            return 0
        each, rest = divmod(budget, len(self._workers))
        turn = (self._workers.index(self.me) - second * rest) % len(self._workers)
        return each + (turn < rest)
