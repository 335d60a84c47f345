"""The deadlines of all who wait in a lane, watched by one timer.

Nearly every waiter is answered long before its deadline. A timer each would cost as much as the rest of
`Lane.submit` does.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Final

from router.errors import DeadlinePassed
from router.lanes.lag import GRACE_S, STALL_S

Waiter = tuple[asyncio.Future[Any], float]
"""Somebody's future, and the time of the clock until which they wait for it."""

# Deadlines are looked at no more often than this, and in a twentieth of the time: with thousands of rows that
# wait a look takes a millisecond.
_RING_S: Final = 0.005
_RING_SHARE: Final = 20
# uvloop counts in whole milliseconds: its timers may ring so much too soon.
_EARLY_S: Final = 0.002


class Deadlines:
    """Fails with `DeadlinePassed` whoever of `waiters()` has waited until their deadline."""

    def __init__(self, waiters: Callable[[], Iterable[Waiter]], clock: Callable[[], float]) -> None:
        self._waiters = waiters
        self._clock = clock
        self._bell: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def watch(self, deadline: float, now: float) -> None:
        """Somebody waits until `deadline`."""
        if deadline < self._rings_at:
            self._ring_at(deadline, now)

    def close(self) -> None:
        """Nobody waits any more. (The timer would keep the lane, with its cache.)"""
        if self._bell is not None:
            self._bell.cancel()
            self._bell, self._rings_at = None, math.inf

    def _ring_at(self, when: float, now: float) -> None:
        if self._bell is not None:
            self._bell.cancel()
        self._rings_at = when
        self._bell = asyncio.get_running_loop().call_later(when - now, self._expire)

    def _expire(self, stalled_at: float | None = None) -> None:
        """The first deadline may be over. Fail who has waited until theirs, and ring again for the next.

        After a stall that ended at `stalled_at`, only those whose deadline was over by then.
        """
        now = self._clock()
        if stalled_at is None and now - self._rings_at > STALL_S:
            # The loop stood still, and answers may have come meanwhile: what has arrived is read first.
            self._bell = asyncio.get_running_loop().call_later(GRACE_S, self._expire, now)
            return
        self._bell, self._rings_at = None, math.inf
        over = now + _EARLY_S if stalled_at is None else stalled_at
        following = math.inf
        for waiter, deadline in self._waiters():
            if waiter.done():
                continue
            if deadline <= over:
                waiter.set_exception(DeadlinePassed("no answer before the deadline"))
            elif deadline < following:
                following = deadline
        if following < math.inf:
            looked_s = self._clock() - now
            self._ring_at(max(following, now + max(_RING_S, _RING_SHARE * looked_s)), now)
