"""Effects with their intervals: on one axis shared by all experiments, and over time."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from control.dashboard.charts.drawing import (
    ACCENT,
    BAD,
    GOOD,
    INK,
    LINE,
    MUTED,
    SURFACE,
    bare,
    draw,
    rows,
)
from control.dashboard.charts.ticks import nice_domain, nice_ticks
from experiments.report import Interval, Point, State

WIDE: Final = 640
NARROW: Final = 318
ROW_WIDTH: Final = 320
ROW_HEIGHT: Final = 26
ZERO: Final = "datum.value == 0 ? '0' : datum.label"
"""A zero has no sign."""
_MOST_POINTS: Final = 120

Domain = tuple[float, float]

_TONES: Final = {
    State.BETTER: GOOD,
    State.HOLDS: GOOD,
    State.WORSE: BAD,
    State.VIOLATED: BAD,
    State.UNCLEAR: ACCENT,
    State.NO_DATA: MUTED,
}


def shared_domain(effects: Iterable[tuple[float | None, Interval]]) -> Domain:
    """The ends of an axis that shows no effect and every estimate; an interval that is far wider than
    the others is cut off there, and drawn with an arrow."""
    estimates, ends = [0.0], [0.0]
    for estimate, interval in effects:
        if estimate is not None:
            estimates.append(estimate)
        ends += [end for end in (interval.low, interval.high) if end is not None]
    reach = max(max(abs(value) for value in estimates) * 2.5, 0.02)
    low = max(min(ends), min(estimates) - reach)
    high = min(max(ends), max(estimates) + reach)
    return nice_domain(min(low, 0.0), max(high, 0.0))


@lru_cache(maxsize=512)
def row(
    estimate: float | None, interval: Interval, state: State, domain: Domain, margin: float | None
) -> Markup:
    """One effect on an axis of this domain: its interval as a bar, its estimate as a dot, no effect as a
    line, and the margin of a guardrail as a dashed one."""
    tone = _TONES[state]
    low, high = domain
    left = low if interval.low is None else max(low, interval.low)
    right = high if interval.high is None else min(high, interval.high)
    x = alt.X("x:Q", scale=alt.Scale(domain=list(domain), nice=False, zero=False), axis=None)
    layers = [
        alt.Chart(rows([{"x": tick} for tick in nice_ticks(domain)])).mark_rule(color=LINE).encode(x=x),
        alt.Chart(rows([{"x": 0.0}])).mark_rule(color=MUTED, strokeWidth=1.5).encode(x=x),
    ]
    if margin is not None and low <= margin <= high:
        rule = alt.Chart(rows([{"x": margin}])).mark_rule(color=BAD, strokeDash=[3, 3], strokeWidth=1.5)
        layers.append(rule.encode(x=x))
    middle = alt.value(ROW_HEIGHT / 2)
    if estimate is not None and right > left:
        bar = alt.Chart(rows([{"x": left, "x2": right}]))
        layers.append(
            bar.mark_rule(color=tone, strokeWidth=8, opacity=0.3).encode(x=x, x2="x2", y=middle, y2=middle)
        )
        layers.append(bar.mark_rule(color=tone, strokeWidth=2).encode(x=x, x2="x2", y=middle, y2=middle))
        cut = [(low, -90)] * (interval.low is None or interval.low < low)
        cut += [(high, 90)] * (interval.high is None or interval.high > high)
        for place, angle in cut:
            arrow = alt.Chart(rows([{"x": place}])).mark_point(
                shape="triangle-up", angle=angle, filled=True, color=tone, size=55, opacity=1
            )
            layers.append(arrow.encode(x=x, y=middle))
    if estimate is not None and low <= estimate <= high:
        dot = alt.Chart(rows([{"x": estimate}])).mark_point(
            filled=True, fill=tone, stroke=SURFACE, strokeWidth=1.5, size=95, opacity=1
        )
        layers.append(dot.encode(x=x, y=middle))
    return draw(bare(alt.layer(*layers), ROW_WIDTH, ROW_HEIGHT), name="row")


@lru_cache(maxsize=64)
def axis(domain: Domain, unit: str = "percent") -> Markup:
    """The axis above the rows of this domain."""
    formats = {"percent": "+.3~%", "points": "+.3~", "plain": "+.3~s"}
    ticks = alt.Axis(
        orient="top",
        values=list(nice_ticks(domain)),
        format=formats[unit],
        labelExpr=ZERO,
        grid=False,
        title=None,
        domain=False,
        ticks=False,
        offset=-18,
        labelFlush=False,
        labelOverlap="greedy",
    )
    x = alt.X("x:Q", scale=alt.Scale(domain=list(domain), nice=False, zero=False), axis=ticks)
    chart = alt.Chart(rows([{"x": domain[0]}])).mark_point(opacity=0).encode(x=x)
    return draw(bare(chart, ROW_WIDTH, 18), name="axis")


@lru_cache(maxsize=256)
def band(
    points: tuple[Point, ...], state: State, margin: float | None, *, percent: bool, width: int
) -> Markup:
    """An effect over time with its sequential band, no effect as a line, a guardrail's margin dashed.

    `percent` draws shares as percentage points. The first, very wide intervals are cut off."""
    factor = 100.0 if percent else 1.0
    kept = _thinned(points)
    low, high = _band_domain(kept, margin, factor)
    data = [_band_row(point, factor, low, high) for point in kept]
    span = kept[-1].at - kept[0].at
    clock = "%H:%M:%S" if span < 600 else "%H:%M" if span < 2 * 86_400 else "%b %d"
    x = alt.X(
        "at:T",
        scale=alt.Scale(type="utc", nice=False),
        axis=alt.Axis(
            format=clock, tickCount=4 if width < 400 else 7, grid=False, title=None, labelFlush=True
        ),
    )
    vertical = alt.Scale(domain=[low, high], nice=False, zero=False)
    y = alt.Y(
        "low:Q",
        scale=vertical,
        axis=alt.Axis(format="+,.6~g", labelExpr=ZERO, tickCount=5, title=None, domain=False, ticks=False),
    )
    tone = _TONES[state]
    base = alt.Chart(rows(data))
    layers: list[Any] = [
        base.mark_area(color=tone, opacity=0.18, clip=True).encode(x=x, y=y, y2="high:Q"),
        _level(0.0, vertical).mark_rule(color=MUTED, strokeWidth=1.5).encode(),
    ]
    if margin is not None:
        layers.append(_level(margin * factor, vertical).mark_rule(color=BAD, strokeDash=[4, 3], clip=True))
    for end in ("low", "high"):
        line = base.mark_line(color=tone, strokeWidth=1, opacity=0.7, clip=True)
        layers.append(line.encode(x=x, y=alt.Y(f"{end}:Q", scale=vertical)))
    line = base.mark_line(color=INK, strokeWidth=2, clip=True)
    layers.append(line.encode(x=x, y=alt.Y("middle:Q", scale=vertical)))
    last = alt.Chart(rows(data[-1:])).mark_point(filled=True, color=INK, size=50, opacity=1, clip=True)
    layers.append(last.encode(x=x, y=alt.Y("middle:Q", scale=vertical)))
    sized = alt.layer(*layers).properties(width=width - 64, height=170)
    return draw(sized, name="band-wide" if width == WIDE else "band-narrow")


def _level(value: float, scale: alt.Scale) -> alt.Chart:
    return alt.Chart(rows([{"y": value}])).encode(y=alt.Y("y:Q", scale=scale))


def _thinned(points: tuple[Point, ...]) -> list[Point]:
    """At most `_MOST_POINTS` of them, the last one among them."""
    step = -(-len(points) // _MOST_POINTS)
    return list(points[::-1][::step])[::-1]


def _band_domain(points: list[Point], margin: float | None, factor: float) -> Domain:
    later = points[len(points) // 4 :]
    values = [0.0] + ([margin] if margin is not None else [])
    for point in later:
        values += [v for v in (point.absolute, point.interval.low, point.interval.high) if v is not None]
    low, high = min(values) * factor, max(values) * factor
    room = (high - low) * 0.08 or 1.0
    return low - room, high + room


def _band_row(point: Point, factor: float, low: float, high: float) -> dict[str, object]:
    far = high - low
    ends = point.interval
    return {
        "at": point.at * 1000,
        "low": low - far if ends.low is None else ends.low * factor,
        "high": high + far if ends.high is None else ends.high * factor,
        "middle": None if point.absolute is None else point.absolute * factor,
    }
