"""Numbers and times as the pages write them: every figure on a page passes through here, once.

None, a number that is not known, is an en dash. Shares (0 to 1) are written as percent; the difference of two
shares is written in percentage points. A minus is U+2212, so that columns of numbers line up.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from ekiben.experiments.durations import format_duration
from ekiben.experiments.kinds.table import kind_of
from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.statistics.sequential import UNBOUNDED

UNKNOWN: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"
_SPACE: Final = "\N{NARROW NO-BREAK SPACE}"


def decimals(*values: float | None) -> int:
    """How many decimals numbers that stand beside each other need: three digits of the largest, at most 6."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if largest == 0 or not math.isfinite(largest):
        return 0
    return min(6, max(0, 2 - math.floor(math.log10(largest) + 1e-12)))


def number(value: float | None, places: int | None = None, *, signed: bool = False) -> str:
    """A number with `places` decimals (three digits by default), thousands set apart by commas."""
    if value is None:
        return UNKNOWN
    places = decimals(value) if places is None else places
    text = f"{abs(value):,.{places}f}"
    if not text.strip("0.,"):
        return text
    return (_MINUS if value < 0 else "+" if signed else "") + text


def count(value: float | None) -> str:
    """A whole number."""
    return number(value, 0)


def percent(share: float | None, places: int | None = None, *, signed: bool = False) -> str:
    """A share from 0 to 1 as percent, with one decimal by default, and more where it is small."""
    if share is None:
        return UNKNOWN
    if places is None:
        places = max(1, min(4, decimals(share * 100) - 1)) if abs(share) < 0.01 else 1
    return f"{number(share * 100, places, signed=signed)}{_SPACE}%"


def coverage(value: float) -> str:
    """A percentage as the document has it: 2 %, 12.5 %."""
    return f"{value:g}{_SPACE}%"


def p_value(value: float | None) -> str:
    """A p-value; what is smaller than 0.0001 says no more than that."""
    if value is None:
        return UNKNOWN
    return "<" + _SPACE + "0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def level(kind: str, value: float | None) -> str:
    """A metric's value in one variant."""
    if not kind_of(kind).is_share:
        return number(value)
    return percent(value, None if value and abs(value) < 0.01 else 2)


def change(kind: str, value: float | None, interval: Interval = UNBOUNDED) -> str:
    """A metric's effect, treatment minus control, with its sign; of shares in percentage points. It has as
    many decimals as the ends of the interval that it stands beside."""
    if value is None:
        return UNKNOWN
    factor, unit = _unit(kind)
    return number(value * factor, _places(factor, value, interval), signed=True) + unit


def change_interval(kind: str, interval: Interval, value: float | None = None) -> str:
    """The interval of `change`: both ends with the decimals that the effect `value` has."""
    factor, unit = _unit(kind)
    return _ends(interval, _places(factor, value, interval), factor) + unit


def level_interval(kind: str, interval: Interval) -> str:
    """The interval of `level`: its ends have no sign but a minus."""
    if kind_of(kind).is_share:
        return _ends(interval, 2, 100, signed=False) + f"{_SPACE}%"
    return _ends(interval, decimals(interval.low, interval.high), signed=False)


def relative(value: float | None) -> str:
    """An effect as a share of the control's mean."""
    return percent(value, _relative_places(value), signed=True)


def relative_interval(interval: Interval) -> str:
    """The interval of `relative`."""
    return _ends(interval, _relative_places(interval.low, interval.high), 100) + f"{_SPACE}%"


def milliseconds(value: float | None) -> str:
    """A duration in milliseconds; seconds from 10,000 ms on."""
    if value is None:
        return UNKNOWN
    if value >= 10_000:
        return f"{number(value / 1000, 1)}{_SPACE}s"
    return f"{number(value, 1 if value < 100 else 0)}{_SPACE}ms"


def duration(seconds: float | None) -> str:
    """How long, as people say it: 0.4 s, 12 min, 3 h, 12 days."""
    return UNKNOWN if seconds is None else format_duration(seconds).replace(" ", _SPACE)


def moment(at: float | None) -> str:
    """A time, in UTC to the second."""
    return UNKNOWN if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: float | None) -> str:
    """A time for the datetime attribute of a time element."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def days(since: float, until: float) -> str:
    """The day, or the first and the last of several, in UTC. `until` is the end of the last."""
    first, last = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" for at in (since, until - 1))
    return first if first == last else f"{first} to {last}"


def clock(at: float | None) -> str:
    """The time of day, in UTC."""
    return UNKNOWN if at is None else f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


def _unit(kind: str) -> tuple[float, str]:
    return (100.0, f"{_SPACE}pp") if kind_of(kind).is_share else (1.0, "")


def _places(factor: float, value: float | None, interval: Interval) -> int:
    known = (each for each in (value, interval.low, interval.high) if each is not None)
    return decimals(*(each * factor for each in known))


def _relative_places(*values: float | None) -> int:
    return 1 if max((abs(value) for value in values if value is not None), default=0.0) < 10 else 0


def _ends(interval: Interval, places: int, factor: float = 1.0, *, signed: bool = True) -> str:
    low, high = interval.low, interval.high
    left = f"{_MINUS}∞" if low is None else number(low * factor, places, signed=signed)
    right = "+∞" if high is None else number(high * factor, places, signed=signed)
    return f"{left} to {right}"
