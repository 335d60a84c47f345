"""Durations as people write them: 30s, 30m, 6h, 2d."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_SECONDS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")


def parse_duration(text: str) -> int | None:
    """The seconds that `text` stands for, or None when it is no duration."""
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _SECONDS[match[2]] if match else None


def format_duration(seconds: float) -> str:
    """A length of time in words of the same kind: 45 s, 3 min, 5 h, 2 days; never negative."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
