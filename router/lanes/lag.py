"""How long this worker's event loop stood still, so that nobody else is blamed for it.

Theory of operation:

1. A timer that should ring every 10 ms notes how much too late it does. The sum over some time is what the
   loop stood still in it, less at most 10 ms for each time it did.
2. A time limit on a call to an endpoint does not count that time: the endpoint has all of its own, whatever
   this worker was doing meanwhile. Whoever waits for the answer keeps a deadline of the clock.
3. When a limit rings late, the answer may be in the socket already. It is looked for before time is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

TICK_S: Final = 0.010
GRACE_S: Final = 0.020
"""How long after a stall what has arrived in it is still read."""
STALL_S: Final = 0.005
"""What rings later than this was kept waiting by the loop. Less is the ordinary turn of a busy loop."""
_KEPT: Final = 1024
_OBSERVE_S: Final = 1.0


class LoopLag:
    """The stalls of one event loop. Until `run` is running there are none."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._stalls: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._late: list[float] = []

    async def run(self, observe: Callable[[Sequence[float]], object] = lambda _late: None) -> None:
        """Measure until cancelled. Once a second `observe` gets how late each tick was, in seconds."""
        while True:
            due = self.now() + TICK_S
            await asyncio.sleep(TICK_S)
            now = self.now()
            late = max(now - due, 0.0)
            if late > STALL_S:
                self._stalls.append((now, late))
            self._late.append(late)
            if len(self._late) * TICK_S >= _OBSERVE_S:
                observe(self._late)
                self._late = []

    def since(self, begun: float) -> float:
        """Seconds that the loop stood still since `begun`."""
        lost = 0.0
        for ended, late in reversed(self._stalls):
            if ended <= begun:
                break
            lost += min(late, ended - begun)
        return lost

    @contextlib.asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """Raise `TimeoutError` after `seconds`, in which time that the loop stood still is not counted."""
        async with asyncio.timeout(None) as scope:
            limit = _Limit(self, scope, seconds)
            try:
                yield
            finally:
                limit.timer.cancel()


class _Limit:
    """The timer of one limit. It rings when the time is over, and again while time has to be given back."""

    def __init__(self, lag: LoopLag, scope: asyncio.Timeout, seconds: float) -> None:
        self._lag = lag
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._begun = lag.now()
        self._given = 0.0
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self._due = self._lag.now() + seconds
        self.timer = self._loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        # The tick that notes this stall may ring after this timer: its own lateness counts as well.
        late = self._lag.now() - self._due
        lost = self._lag.since(self._begun) - self._given
        if max(late, lost) > STALL_S:
            self._given += max(late, lost)
            self._wait(max(late, lost, GRACE_S))
        else:
            self._scope.reschedule(self._loop.time())
