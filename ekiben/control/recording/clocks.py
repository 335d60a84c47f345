"""Whether what happens on this controller's clock may happen: it is compared with others before it counts.

Removing days of events and raising a ramp cannot be taken back, and a clock can be wrong: a virtual machine
that slept, a host that started without its time server, a hand. Three witnesses have to agree.

1. The state Redis's clock. A controller that is more than 5 minutes off raises no ramp and removes nothing.
2. The clock's own past, kept in Redis: where it has jumped, or was not checked for a day, days are removed
   only once it has run evenly for a day. On one machine Redis jumps with it.
3. The events (`ekiben/control/recording/retention.py`): what their stream entries' ids call young is not old.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ekiben.experiments.durations import format_duration

CLOCK_KEY: Final = "ekiben:clock"
"""A hash: when the clock was looked at last, and since when it has run evenly, in seconds since 1970."""
MOST_OFF_S: Final = 300.0
_EVENLY_S: Final = 86_400.0
_BACK_S: Final = 60.0
_EVERY_S: Final = 5.0

log = logging.getLogger(__name__)


class Clocks:
    """Compares. `redis` is not closed here."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self.off: str | None = None
        """What is wrong with this controller's clock, in a sentence, as of the last look; None if nothing."""

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look()
            except (RedisError, OSError):
                pass  # away: what was seen last stands
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Compare with Redis's clock. Raises redis's own errors."""
        seconds, micros = await self._redis.time()
        off_s = self._clock() - (seconds + micros / 1e6)
        off = None
        if abs(off_s) > MOST_OFF_S:
            side = "ahead of" if off_s > 0 else "behind"
            off = f"This controller's clock is {format_duration(abs(off_s))} {side} the state Redis's."
        if (off is None) != (self.off is None):
            log.warning("%s", off or "this controller's clock agrees with the state Redis's again")
        self.off = off

    async def doubt(self) -> str | None:
        """Why nothing may be removed for its age now, or None. For the holder of the lease.

        Raises redis's own errors.
        """
        await self.look()
        if self.off is not None:
            return self.off
        now = self._clock()
        last, since = await cast("Any", self._redis.hmget(CLOCK_KEY, ["last", "since"]))
        evenly = last is not None and -_BACK_S <= now - float(last) <= _EVENLY_S
        began = float(since) if evenly else now
        await cast("Any", self._redis.hset(CLOCK_KEY, mapping={"last": now, "since": began}))
        if last is not None and not evenly:
            log.warning(
                "the clock has jumped by %s, or was not checked", format_duration(abs(now - float(last)))
            )
        if now - began < _EVENLY_S:
            return f"The clock has run evenly for {format_duration(now - began)}, and a day is asked for."
        return None
