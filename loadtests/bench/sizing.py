"""From what a request costs to what an installation needs: the tables of docs/scaling.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PARTS: Final = ("router", "services", "Redis (cache)", "Redis (state)", "controller")
RATES: Final = (1_000, 10_000, 100_000)
# The mix that the model is computed for.
UNCACHED: Final = 0.7
OUTCOMES_EACH: Final = 0.2
BUSY: Final = 0.6
CACHE_TTL_S: Final = 300


@dataclass(frozen=True, slots=True)
class Phase:
    """One kind of load: how many were sent, and what they cost, CPU seconds and bytes written in all."""

    name: str
    count: int
    cpu_s: dict[str, float]
    state_bytes: int  # the append-only file's growth
    cache_bytes: int  # the cache's memory's growth
    file_bytes: int  # event files

    def cpu_ms(self, part: str) -> float:
        """CPU milliseconds for each."""
        return 1000 * self.cpu_s[part] / self.count


def rows(phases: list[Phase]) -> list[list[str]]:
    """The table of costs, a row for each part, each phase a column."""
    found = [[f"{part}, CPU ms", *(f"{phase.cpu_ms(part):.4f}" for phase in phases)] for part in PARTS]
    found.append(
        ["state Redis, bytes to disk", *(f"{phase.state_bytes / phase.count:.0f}" for phase in phases)]
    )
    found.append(["cache Redis, bytes", *(f"{phase.cache_bytes / phase.count:.0f}" for phase in phases)])
    found.append(["event files, bytes", *(f"{phase.file_bytes / phase.count:.0f}" for phase in phases)])
    return found


def model(phases: list[Phase]) -> list[list[str]]:
    """What installations of each size need, from the costs of a request: cores at 60 % use, disk, memory."""
    uncached, cached, outcome = phases

    def each(part: str) -> float:
        """CPU seconds of a part for one request of the mix."""
        mix = (
            UNCACHED * uncached.cpu_s[part] / uncached.count
            + (1 - UNCACHED) * cached.cpu_s[part] / cached.count
        )
        return mix + OUTCOMES_EACH * outcome.cpu_s[part] / outcome.count

    def cores(part: str) -> Callable[[int], str]:
        return lambda rate: f"{max(1, math.ceil(rate * each(part) / BUSY)):,}"

    def gib_a_day(rate: int) -> str:
        size = uncached.file_bytes / uncached.count + OUTCOMES_EACH * outcome.file_bytes / outcome.count
        return f"{rate * 86_400 * size / 2**30:,.1f} GiB"

    def memory(rate: int) -> str:
        return f"{rate * UNCACHED * CACHE_TTL_S * uncached.cache_bytes / uncached.count / 2**30:,.2f} GiB"

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
    uncached = phases[0]
    return [
        [part, f"{uncached.count / uncached.cpu_s[part]:,.0f}"]
        for part in ("Redis (cache)", "Redis (state)", "controller")
    ]
