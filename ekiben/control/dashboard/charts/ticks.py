"""Round numbers for the axes."""

from __future__ import annotations

import math


def step(low: float, high: float, about: int) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides [low, high] into `about` parts."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)


def nice_domain(low: float, high: float, about: int = 5) -> tuple[float, float]:
    """[low, high] widened to round numbers."""
    if high <= low:
        high = low + 1.0
    size = step(low, high, about)
    return (round(math.floor(low / size + 1e-9) * size, 12), round(math.ceil(high / size - 1e-9) * size, 12))


def nice_ticks(domain: tuple[float, float], about: int = 5) -> tuple[float, ...]:
    """The round numbers within a domain."""
    size = step(*domain, about)
    first = math.ceil(domain[0] / size - 1e-9)
    last = math.floor(domain[1] / size + 1e-9)
    return tuple(round(place * size, 12) for place in range(first, last + 1))
