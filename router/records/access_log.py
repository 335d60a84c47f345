"""The access log: a sample of the predictions, a line each. Never features, answers or user ids."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

log = logging.getLogger("router.access")

_ERRORS_A_SECOND: Final = 10


@dataclass(eq=False)
class AccessLog:
    """Writes `share` of the requests (0 to 1), and of those that failed (5xx) up to 10 a second besides."""

    share: float
    clock: Callable[[], float]
    draw: Callable[[], float] = random.random
    _second: int = field(default=0, init=False)
    _errors: int = field(default=0, init=False)

    def wants(self, status: int) -> bool:
        """Whether this request is part of the sample, or an error that is to be told."""
        return self.draw() < self.share or (status >= 500 and self._admits_error())

    def note(self, **fields: str | float | None) -> None:
        """A prediction that is wanted has been answered, after `ms` milliseconds."""
        line = "%(model)s %(version)s answered %(status)d in %(ms).1f ms"
        log.info(line, fields, extra={"fields": fields})

    def _admits_error(self) -> bool:
        second = int(self.clock())
        if second != self._second:
            self._second, self._errors = second, 0
        self._errors += 1
        return self._errors <= _ERRORS_A_SECOND
