"""How many clients there are, second by second: Locust's shapes, chosen by `--shape`."""

from __future__ import annotations

import argparse
import time
from abc import abstractmethod
from typing import Final

from locust import LoadTestShape

from loadtests.slo import Figures, Slo, Step

# Above this many a second Locust warns that starting users disturbs what it measures.
_MOST_SPAWNED_PER_S: Final = 100
# For workers to report that their users are gone, beyond what the last request may take.
_PATIENCE_S: Final = 5.0

Tick = tuple[int, float]


class Shape(LoadTestShape):
    """A shape that has its options, and that ends by letting every request in flight be answered."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.options = options
        self._ending_since: float | None = None

    @abstractmethod
    def users_at(self, second: float) -> int | None:
        """How many users there are at this second; None when the run is over."""

    def tick(self) -> Tick | None:
        """Locust asks every second."""
        users = self.users_at(self.get_run_time()) if self._ending_since is None else None
        if users is not None:
            return users, _MOST_SPAWNED_PER_S
        return self._end()

    def _end(self) -> Tick | None:
        # The master knows what its workers know only when they report that their last user is gone.
        now = time.monotonic()
        if self._ending_since is None:
            self._ending_since = now
        late = now > self._ending_since + self.options.timeout_s + _PATIENCE_S
        if self.runner is None or self.runner.user_count == 0 or late:
            return None
        return 0, _MOST_SPAWNED_PER_S


class Ramp(Shape):
    """From one user to the peak in a straight line, then on at the peak."""

    def users_at(self, second: float) -> int | None:
        """See the class."""
        climb_s, peak = self.options.climb_s, self.options.peak_users
        if second >= climb_s + self.options.hold_s:
            return None
        return int(peak) if second >= climb_s else max(1, round(peak * second / climb_s))


class Spike(Shape):
    """A base load, suddenly the peak, and back: what breaks, and does it come back?"""

    def users_at(self, second: float) -> int | None:
        """See the class."""
        before_s, spike_s = self.options.base_s, self.options.spike_s
        if second >= 2 * before_s + spike_s:
            return None
        in_spike = before_s <= second < before_s + spike_s
        return int(self.options.peak_users if in_spike else self.options.base_users)


class Soak(Shape):
    """The same load for a long time: what leaks, grows or drifts?"""

    def users_at(self, second: float) -> int | None:
        """See the class."""
        return int(self.options.peak_users) if second < self.options.soak_s else None


class Steps(Shape):
    """A staircase. Each step is judged by itself; the first one that breaks the objective ends the run."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.slo = Slo(options.slo_p99_ms, options.slo_error_rate)
        self.steps: list[Step] = []
        self._began_at = 0.0
        self._before: Figures | None = None

    def reset_time(self) -> None:
        """A run begins: from the first step."""
        super().reset_time()
        self._began_at = 0.0
        self._before = None

    def users_at(self, second: float) -> int | None:
        """See the class. What a step's first `--settle-s` seconds bring is not counted."""
        if second >= self._began_at + self.options.settle_s and self._before is None:
            self._before = self._look(second)
        elif second >= self._began_at + self.options.step_s and self._before is not None:
            figures = self._look(second).since(self._before)
            self.steps.append(Step(self._users, figures, self.slo.broken(figures)))
            if self.steps[-1].broken is not None or len(self.steps) == self.options.steps:
                return None
            self._began_at, self._before = second, None
        return self._users

    @property
    def _users(self) -> int:
        return int(self.options.step_users) * (len(self.steps) + 1)

    def _look(self, second: float) -> Figures:
        assert self.runner is not None
        total = self.runner.stats.total
        return Figures(total.num_requests, total.num_failures, dict(total.response_times), second)


SHAPES: Final[dict[str, type[Shape]]] = {"ramp": Ramp, "spike": Spike, "soak": Soak, "steps": Steps}
