"""Durations as people write them (30s, 30m, 6h, 2d), and as they say them (43 s, 3 h, 12 days)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = ((86_400, "day", 2), (3600, "h", 1), (60, "min", 1), (1, "s", 1))
"""Each unit's seconds, its name, and from how many of it on it is the one that people use."""


def parse_duration(text: str) -> int | None:
    """The seconds that `text` stands for, or None when it is no duration."""
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _SECONDS[match[2]] if match else None


def format_duration(seconds: float) -> str:
    """A length of time as people say it, in its largest unit: 0.4 s, 43 s, 3 min, 1.5 h, 24 h, 12 days.

    Two digits below 10, whole numbers from there on; never negative, and never a part of a second that rounds
    to nothing.
    """
    seconds = max(seconds, 0.0)
    for size, unit, least in _UNITS:
        number = _two_digits(seconds / size)
        if number >= least:
            return f"{number:,g} {unit}s" if unit == "day" else f"{number:,g} {unit}"
    return "0 s" if seconds == 0 else f"{seconds:.1f} s" if seconds >= 0.05 else f"{seconds * 1000:.2g} ms"


def _two_digits(number: float) -> float:
    return round(number, 1) if number < 9.95 else float(round(number))
