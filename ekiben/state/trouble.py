"""Logging what keeps going wrong, so that a late reader of the log sees it too."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

_TELL_AGAIN_S: Final = 60.0


class Trouble:
    """Something that goes wrong again and again: logged at once, when it changes, and every minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at = 0.0
        self.what: str | None = None

    def tell(self, what: str, consequence: str) -> None:
        """It goes wrong, now."""
        now = self._clock()
        if what != self.what or now - self._told_at >= _TELL_AGAIN_S:
            self._told_at = now
            log.warning("%s: %s", what, consequence)
        self.what = what

    def over(self) -> None:
        """It is well."""
        if self.what is not None:
            log.info("over: %s", self.what)
        self.what = None
