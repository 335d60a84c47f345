"""What is done with event files once they are there, one thing after the other: forget, merge, remove."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from redis.exceptions import RedisError

from ekiben.control.recording.clocks import Clocks
from ekiben.control.recording.files import EventFiles, Held
from ekiben.control.recording.forgetting import Forgetting, NotForgotten
from ekiben.control.recording.merging import Merging
from ekiben.control.recording.retention import Retention
from ekiben.state.lease import LeaseLost

log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 1.0
_TIDY_EVERY_S: Final = 60.0


class Housekeeper:
    """Keeps house while the lease is held. One at a time: what one merges another must not rewrite."""

    def __init__(
        self,
        files: EventFiles,
        lease: Held,
        forgetting: Forgetting,
        keep_days: int,
        clock: Callable[[], float] = time.time,
        clocks: Clocks | None = None,
    ) -> None:
        self._files = files
        self._lease = lease
        self._forgetting = forgetting
        self.retention = Retention(files, keep_days)
        self._clock = clock
        self._clocks = clocks
        self._stopping = False
        self._merging = Merging(files, self)
        self._failures: set[str] = set()

    def held(self) -> bool:
        """Whether to go on: what runs in a thread asks again and again, and ends soon after `run` does."""
        return self._lease.held() and not self._stopping

    async def run(self) -> None:
        """Keep house until cancelled."""
        tidied: float | None = None
        self._stopping = False
        try:
            while True:
                if not self._lease.held():
                    tidied = None
                else:
                    if tidied is None:
                        await self._try("sweeping", lambda: asyncio.to_thread(self._files.remove_abandoned))
                    await self._try("forgetting", self._forgetting.do_requests)
                    if tidied is None or time.monotonic() - tidied >= _TIDY_EVERY_S:
                        tidied = time.monotonic()
                        await self._try("tidying", self._tidy)
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            self._stopping = True

    async def _tidy(self) -> None:
        doubt = await self._clocks.doubt() if self._clocks is not None else None
        await asyncio.to_thread(self.tidy, doubt)

    def tidy(self, doubt: str | None = None) -> None:
        """Remove what is too old, unless there is a doubt about the clock, and merge what is closed; blocks.

        Raises `LeaseLost` and `OSError`.
        """
        now = self._clock()
        self.retention.remove_expired(now, self, doubt)
        self._merging.merge_all(now)
        self._files.remove_abandoned()

    async def _try(self, name: str, what: Callable[[], Awaitable[None]]) -> None:
        try:
            await what()
        except LeaseLost as lost:
            log.info("%s: %s", name, lost)
        # Events are safe where they are; the next round tries again.
        except Exception as error:
            if name not in self._failures:
                expected = isinstance(error, (RedisError, OSError, NotForgotten))
                log.error("%s event files failed: %s", name, error, exc_info=not expected)
            self._failures.add(name)
        else:
            self._failures.discard(name)
