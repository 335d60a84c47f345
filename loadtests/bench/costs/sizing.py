"""From what a request costs to what an installation needs: the tables of docs/scaling.md."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

PARTS: Final = ("router", "services", "Redis (cache)", "Redis (state)", "controller")
CACHE_BYTES: Final = "cache Redis, bytes"
EVENT_BYTES: Final = "event files, bytes"
SIZES: Final = ("state Redis, bytes to disk", CACHE_BYTES, EVENT_BYTES)
RATES: Final = (1_000, 10_000, 100_000)
# The mix that the model is computed for.
UNCACHED: Final = 0.7
OUTCOMES_EACH: Final = 0.2
BUSY: Final = 0.6
CACHE_TTL_S: Final = 300


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of load: how many were sent, and what they used in all.

    `used` is CPU seconds by PARTS, and bytes by SIZES.
    """

    name: str
    count: int
    used: Mapping[str, float]

    def each(self, what: str) -> float:
        """What one of them used."""
        return self.used[what] / self.count


def rows(phases: list[Phase]) -> list[list[str]]:
    """The table of costs, a row for each part, each phase a column."""
    cpu = [[f"{part}, CPU ms", *(f"{1000 * phase.each(part):.4f}" for phase in phases)] for part in PARTS]
    return cpu + [[size, *(f"{phase.each(size):.0f}" for phase in phases)] for size in SIZES]


def model(phases: list[Phase]) -> list[list[str]]:
    """What installations of each size need, from the costs of a request: cores at 60 % use, disk, memory."""
    uncached, cached, outcome = phases

    def each(part: str) -> float:
        """CPU seconds of a part for one request of the mix."""
        mix = UNCACHED * uncached.each(part) + (1 - UNCACHED) * cached.each(part)
        return mix + OUTCOMES_EACH * outcome.each(part)

    def cores(part: str) -> Callable[[int], str]:
        return lambda rate: f"{max(1, math.ceil(rate * each(part) / BUSY)):,}"

    def gib_a_day(rate: int) -> str:
        size = uncached.each(EVENT_BYTES) + OUTCOMES_EACH * outcome.each(EVENT_BYTES)
        return f"{rate * 86_400 * size / 2**30:,.1f} GiB"

    def memory(rate: int) -> str:
        return f"{rate * UNCACHED * CACHE_TTL_S * uncached.each(CACHE_BYTES) / 2**30:,.2f} GiB"

    lines: list[tuple[str, Callable[[int], str]]] = [
        ("router workers (one core each)", cores("router")),
        ("model service pods (one core each)", cores("services")),
        ("cache Redis, cores", cores("Redis (cache)")),
        ("cache Redis, memory", memory),
        ("state Redis, cores (one process)", cores("Redis (state)")),
        ("recorder, cores (one process)", cores("controller")),
        ("event files a day", gib_a_day),
    ]
    return [[name, *(shown(rate) for rate in RATES)] for name, shown in lines]


def limits(phases: list[Phase]) -> list[list[str]]:
    """How many uncached requests a second the parts that are one process can take, all of a core used."""
    single = ("Redis (cache)", "Redis (state)", "controller")
    return [[part, f"{1 / phases[0].each(part):,.0f}"] for part in single]
