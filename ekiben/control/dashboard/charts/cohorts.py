"""Effects beside each other: segments as rows, days of first exposure from left to right."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import altair as alt
from markupsafe import Markup

from ekiben.control.dashboard.charts.bands import WIDE
from ekiben.control.dashboard.charts.drawing import ACCENT, INK, MUTED, TONES, ZERO, Rows, draw
from ekiben.experiments.reports.effect import CohortEffect, Interval
from ekiben.experiments.reports.metric import State

_ROW: Final = 24
_CUT_OFF: Final = 2.5
"""How much longer than the middle one an interval may be before it is cut off."""


class Row(NamedTuple):
    """One segment's effect."""

    name: str
    absolute: float
    interval: Interval
    state: State


@lru_cache(maxsize=128)
def segments(rows_of: tuple[Row, ...], overall: float | None, *, percent: bool, width: int) -> Markup:
    """Segments as rows on one axis: intervals as bars, effects as dots, no effect as a line, the effect on
    all users dashed. `percent` draws shares as percentage points.
    """
    rows, factor = Rows(), 100.0 if percent else 1.0
    known = [(each.absolute, each.interval) for each in rows_of]
    axis = alt.Axis(format="+,.6~g", labelExpr=ZERO, tickCount=5, title=None, domain=False, ticks=False)
    scale = _scale(known, factor)
    x = alt.X("low:Q", scale=scale, axis=axis)
    limit = 180 if width == WIDE else 90
    names = alt.Axis(title=None, domain=False, ticks=False, labelLimit=limit)
    y = alt.Y("name:N", sort=None, axis=names)
    layers: list[Any] = [*_levels(rows, "x", scale, overall, factor)]
    # A layer for each tone, because a colour is a variable of the page.
    for tone in dict.fromkeys(TONES[each.state] for each in rows_of):
        data = [
            {"name": each.name, **_ends(each.absolute, each.interval, known, factor)}
            for each in rows_of
            if TONES[each.state] == tone
        ]
        base = alt.Chart(rows(data)).encode(y=y)
        layers.append(base.mark_rule(color=tone, strokeWidth=2, clip=True).encode(x=x, x2="high:Q"))
        dot = base.mark_point(filled=True, color=tone, size=70, opacity=1, clip=True)
        layers.append(dot.encode(x=alt.X("middle:Q", scale=scale)))
    # The first layer with rows decides their order, so that one without marks has all of them.
    order = alt.Chart(rows([{"name": each.name, "low": 0} for each in rows_of]))
    layers.insert(0, order.mark_point(opacity=0, color=MUTED).encode(x=x, y=y))
    name = "band-wide" if width == WIDE else "band-narrow"
    return draw(layers, rows, name=name, size=(width - limit - 16, _ROW * len(rows_of)))


@lru_cache(maxsize=128)
def days(effects: tuple[CohortEffect, ...], overall: float | None, *, percent: bool, width: int) -> Markup:
    """The effect among the users of each day, from left to right, as `segments` has it."""
    rows, factor = Rows(), 100.0 if percent else 1.0
    known = [(each.absolute, each.interval) for each in effects if each.absolute is not None]
    axis = alt.Axis(format="+,.6~g", labelExpr=ZERO, tickCount=5, title=None, domain=False, ticks=False)
    scale = _scale(known, factor)
    y = alt.Y("low:Q", scale=scale, axis=axis)
    time = alt.Axis(
        format="%b %d", tickCount=4 if width < 400 else 7, grid=False, title=None, labelOverlap="greedy"
    )
    x = alt.X("at:T", scale=alt.Scale(type="utc", nice=False, padding=12), axis=time)
    data = [
        {"at": each.since * 1000, **_ends(each.absolute, each.interval, known, factor)}
        for each in effects
        if each.absolute is not None
    ]
    base = alt.Chart(rows(data))
    layers: list[Any] = [
        *_levels(rows, "y", scale, overall, factor),
        base.mark_rule(color=ACCENT, strokeWidth=2, clip=True).encode(x=x, y=y, y2="high:Q"),
        base.mark_point(filled=True, color=INK, size=50, opacity=1, clip=True).encode(
            x=x, y=alt.Y("middle:Q", scale=scale)
        ),
    ]
    name = "band-wide" if width == WIDE else "band-narrow"
    return draw(layers, rows, name=name, size=(width - 64, 150))


def _levels(rows: Rows, channel: str, scale: Any, overall: float | None, factor: float) -> list[Any]:
    """The line of no effect and that of the effect on all users."""

    def line(value: float, **look: Any) -> Any:
        place = {channel: (alt.X if channel == "x" else alt.Y)("level:Q", scale=scale)}
        return alt.Chart(rows([{"level": value}])).mark_rule(color=MUTED, clip=True, **look).encode(**place)

    found = [line(0.0, strokeWidth=1.5)]
    return found if overall is None else [*found, line(overall * factor, strokeDash=[4, 3])]


def _scale(known: list[tuple[float, Interval]], factor: float) -> alt.Scale:
    """Room for every estimate, for no effect, and for intervals that are not far longer than the others."""
    reach = _reach(known)
    values = [0.0]
    for middle, interval in known:
        low, high = (_end(end, middle, reach, side) for end, side in ((interval.low, -1), (interval.high, 1)))
        values += [middle, max(low, middle - reach), min(high, middle + reach)]
    room = (max(values) - min(values)) * 0.06 or 1.0
    domain = [(min(values) - room) * factor, (max(values) + room) * factor]
    return alt.Scale(domain=domain, nice=False, zero=False)


def _reach(known: list[tuple[float, Interval]]) -> float:
    sides = [end - middle for middle, interval in known if (end := interval.high) is not None]
    sides += [middle - end for middle, interval in known if (end := interval.low) is not None]
    if not sides:
        return max((abs(middle) for middle, _ in known), default=1.0) or 1.0
    return _CUT_OFF * sorted(sides)[len(sides) // 2] or 1.0


def _end(end: float | None, middle: float, reach: float, side: int) -> float:
    """An end that is not known lies beyond the axis."""
    return middle + 100 * side * reach if end is None else end


def _ends(
    middle: float, interval: Interval, known: list[tuple[float, Interval]], factor: float
) -> dict[str, float]:
    reach = _reach(known)
    return {
        "low": _end(interval.low, middle, reach, -1) * factor,
        "middle": middle * factor,
        "high": _end(interval.high, middle, reach, 1) * factor,
    }
