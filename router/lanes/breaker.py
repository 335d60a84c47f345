"""A circuit breaker: stop asking what keeps failing, and come back to it gradually.

Theory of operation:

1. CLOSED admits everyone. `threshold` failures in a row open it.
2. OPEN admits nobody for `cool_down_s`; each time it opens again without a success between, twice as long,
   up to `max_cool_down_s`.
3. Then one trial is admitted. Its failure opens the breaker again, its success starts the return.
4. RETURNING admits a share that grows from a tenth to all within `return_s`. A failure opens it again.

Time and chance are arguments: the breaker itself reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class BreakerState(Enum):
    """Where a breaker stands; the values are those of the metric."""

    CLOSED = 0
    RETURNING = 1
    TRIAL = 2
    OPEN = 3


@dataclass(kw_only=True, eq=False, slots=True)
class Breaker:
    """One breaker. `now` is seconds of a monotonic clock, `draw` a random number from [0, 1)."""

    threshold: int = 3
    cool_down_s: float = 0.5
    max_cool_down_s: float = 0.5
    return_s: float = 0.0
    state: BreakerState = field(default=BreakerState.CLOSED, init=False)
    _failures: int = field(default=0, init=False)
    _openings: int = field(default=0, init=False)
    _since: float = field(default=0.0, init=False)

    def admits(self, now: float, draw: float = 0.0) -> bool:
        """Whether this attempt may go. Admitting after a cool-down starts the trial."""
        if self.state is BreakerState.CLOSED:
            return True
        if self.state is BreakerState.RETURNING:
            passed = now - self._since
            if passed >= self.return_s:
                self.state = BreakerState.CLOSED
                return True
            return draw < 0.1 + 0.9 * passed / self.return_s
        # OPEN, or a TRIAL whose end nobody told: both wait for the cool-down.
        if now - self._since < self._pause_s():
            return False
        self.state = BreakerState.TRIAL
        self._since = now
        return True

    def is_open(self, now: float) -> bool:
        """Whether an attempt now would certainly be turned away. Changes nothing."""
        return self.state in (BreakerState.OPEN, BreakerState.TRIAL) and now - self._since < self._pause_s()

    def succeeded(self, now: float) -> None:
        """An admitted attempt went well."""
        self._failures = 0
        if self.state in (BreakerState.OPEN, BreakerState.TRIAL):
            self._openings = 0
            self._since = now
            self.state = BreakerState.RETURNING if self.return_s else BreakerState.CLOSED

    def failed(self, now: float) -> None:
        """An admitted attempt failed."""
        self._failures += 1
        if self.state is BreakerState.OPEN:
            return  # a straggler that was admitted before it opened
        if self.state is BreakerState.CLOSED and self._failures < self.threshold:
            return
        self._openings += 1
        self._since = now
        self.state = BreakerState.OPEN

    def _pause_s(self) -> float:
        doubled = self.cool_down_s * float(2 ** min(max(self._openings - 1, 0), 16))
        return min(doubled, self.max_cool_down_s)
