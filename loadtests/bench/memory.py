"""A router worker's memory while it answers a million distinct requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from loadtests.bench.measure import Target
from loadtests.bench.streams import Numbers
from loadtests.bench.wrk import loaded

REQUESTS: Final = 1_000_000
_CLIENTS: Final = 256
_SAMPLE_S: Final = 1.0
_LIMIT_S: Final = 200


@dataclass(frozen=True, slots=True)
class Memory:
    """Pairs of requests answered so far and resident memory in MiB, in order."""

    samples: tuple[tuple[int, float], ...]
    errors: int

    @property
    def requests(self) -> int:
        """Requests answered."""
        return self.samples[-1][0]

    @property
    def highest_mib(self) -> float:
        """The most that was seen."""
        return max(mib for _, mib in self.samples)

    @property
    def growth_mib(self) -> float:
        """How much the last tenth of the requests found more than the tenth after the half did."""
        return self._around(0.9, 1.0) - self._around(0.5, 0.6)

    def _around(self, start: float, end: float) -> float:
        within = [mib for count, mib in self.samples if start <= count / self.requests <= end]
        nearest = min(self.samples, key=lambda sample: abs(sample[0] / self.requests - end))
        return median(within or [nearest[1]])


async def watch_memory(
    target: Target,
    numbers: Numbers,
    answered: Callable[[], Awaitable[int]],
    rss_mib: Callable[[], float],
    on_sample: Callable[[int], None],
) -> Memory:
    """Send a million distinct requests, or what 200 s allow, and look at the memory each second."""
    begun = time.monotonic()
    before = await answered()
    samples: list[tuple[int, float]] = [(0, rss_mib())]
    async with loaded(target.url, target.stream, numbers.next, _CLIENTS, _LIMIT_S) as load:
        while samples[-1][0] < REQUESTS and time.monotonic() - begun < _LIMIT_S:
            await asyncio.sleep(_SAMPLE_S)
            samples.append((await answered() - before, rss_mib()))
            on_sample(samples[-1][0])
        one = await load.stop()
    numbers.sent(one.requests + one.errors + _CLIENTS)
    return Memory(tuple(samples), one.errors)


def thinned(samples: Sequence[tuple[int, float]], count: int) -> list[tuple[int, float]]:
    """About `count` of the samples, evenly spread, first and last among them."""
    if len(samples) <= count:
        return list(samples)
    step = (len(samples) - 1) / (count - 1)
    return [samples[round(place * step)] for place in range(count)]
