"""Effects with their intervals as rows on one axis: all experiments on one, each guardrail on its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from ekiben.control.dashboard.charts.drawing import (
    BAD,
    LINE,
    MUTED,
    PADDING,
    SURFACE,
    TONES,
    ZERO,
    Rows,
    draw,
)
from ekiben.control.dashboard.charts.ticks import nice_domain, nice_ticks
from ekiben.experiments.reports.effect import Interval
from ekiben.experiments.reports.metric import State

WIDTH: Final = 308
GUARDRAIL_WIDTH: Final = 178
_HEIGHT: Final = 26
_LEAST: Final = 0.02
_TOO_DIFFERENT: Final = 8.0
_EVEN_UP_TO: Final = 0.1
_STEPS: Final = (0.1, 0.5, 2.0, 10.0, 50.0, 200.0, 1000.0)

Known = tuple[float | None, Interval]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`, both sides of 0. A compressed one is even up to 10 % and grows by its
    logarithm beyond, so that effects of very different sizes can stand on it."""

    low: float
    high: float
    compressed: bool = False

    @property
    def ticks(self) -> tuple[float, ...]:
        """The round numbers on it."""
        if not self.compressed:
            return nice_ticks((self.low, self.high))
        steps = (*(-step for step in reversed(_STEPS)), 0.0, *_STEPS)
        return tuple(step for step in steps if self.low <= step <= self.high)

    @property
    def scale(self) -> alt.Scale:
        """The same for Vega."""
        if self.compressed:
            return alt.Scale(type="symlog", constant=_EVEN_UP_TO, domain=[self.low, self.high], nice=False)
        return alt.Scale(domain=[self.low, self.high], nice=False, zero=False)


def own_axis(effect: float, interval: Interval, margin: float | None) -> Axis:
    """An axis for one effect and its margin."""
    known: list[Known] = [(effect, interval)]
    if margin is not None:
        known.append((margin, Interval(margin, margin)))
    low, high = _reach(known)
    room = (high - low) * 0.08
    return Axis(low - room, high + room)


def shared_axis(effects: Iterable[Known]) -> Axis:
    """An axis that shows no effect and every estimate; an interval that is far wider than the estimates is
    cut off there, and drawn with an arrow."""
    known = [each for each in effects if each[0] is not None]
    low, high = _reach(known)
    sizes = [max(map(abs, _reach([each]))) for each in known]
    if sizes and max(sizes) > _TOO_DIFFERENT * min(sizes):
        return Axis(-_step_beyond(-low), _step_beyond(high), compressed=True)
    return Axis(*nice_domain(low, high))


@lru_cache(maxsize=512)
def row(
    estimate: float | None,
    interval: Interval,
    state: State,
    axis: Axis,
    margin: float | None = None,
    width: int = WIDTH,
) -> Markup:
    """One effect on an axis: its interval as a bar, its estimate as a dot, no effect as a line, the margin of
    a guardrail as a dashed one."""
    rows = Rows()
    tone = TONES[state]
    left = axis.low if interval.low is None else max(axis.low, interval.low)
    right = axis.high if interval.high is None else min(axis.high, interval.high)
    x = alt.X("x:Q", scale=axis.scale, axis=None)
    layers: list[Any] = [
        alt.Chart(rows([{"x": tick} for tick in axis.ticks])).mark_rule(color=LINE).encode(x=x),
        alt.Chart(rows([{"x": 0.0}])).mark_rule(color=MUTED, strokeWidth=1.5).encode(x=x),
    ]
    if margin is not None and axis.low <= margin <= axis.high:
        rule = alt.Chart(rows([{"x": margin}])).mark_rule(color=BAD, strokeDash=[3, 3], strokeWidth=1.5)
        layers.append(rule.encode(x=x))
    middle = alt.value(_HEIGHT / 2)
    if estimate is not None and right > left:
        bar = alt.Chart(rows([{"x": left, "x2": right}]))
        for thick, opacity in ((8, 0.3), (2, 1.0)):
            line = bar.mark_rule(color=tone, strokeWidth=thick, opacity=opacity)
            layers.append(line.encode(x=x, x2="x2", y=middle, y2=middle))
        cut = [(axis.low, 270)] * (interval.low is None or interval.low < axis.low)
        cut += [(axis.high, 90)] * (interval.high is None or interval.high > axis.high)
        for place, angle in cut:
            arrow = alt.Chart(rows([{"x": place}])).mark_point(
                shape="triangle-up", angle=angle, filled=True, color=tone, size=55, opacity=1
            )
            layers.append(arrow.encode(x=x, y=middle))
    if estimate is not None and axis.low <= estimate <= axis.high:
        dot = alt.Chart(rows([{"x": estimate}])).mark_point(
            filled=True, fill=tone, stroke=SURFACE, strokeWidth=1.5, size=95, opacity=1
        )
        layers.append(dot.encode(x=x, y=middle))
    return draw(layers, rows, name="row", size=(width, _HEIGHT), bare=PADDING)


@lru_cache(maxsize=64)
def scale_of(axis: Axis) -> Markup:
    """The numbers above the rows of an axis, in percent."""
    rows = Rows()
    ticks = alt.Axis(
        orient="top",
        values=list(axis.ticks),
        format="+,.3~%",
        labelExpr=ZERO,
        grid=False,
        title=None,
        domain=False,
        ticks=False,
        offset=-18,
        labelFlush=False,
        labelOverlap="greedy",
        labelSeparation=6,
    )
    x = alt.X("x:Q", scale=axis.scale, axis=ticks)
    chart = alt.Chart(rows([{"x": axis.low}])).mark_point(opacity=0, color=LINE).encode(x=x)
    return draw([chart], rows, name="axis", size=(WIDTH, 18), bare=PADDING)


def _reach(known: list[Known]) -> tuple[float, float]:
    estimates = [0.0, *(estimate for estimate, _ in known if estimate is not None)]
    lows = [-inf if interval.low is None else interval.low for _, interval in known]
    highs = [inf if interval.high is None else interval.high for _, interval in known]
    reach = max(max(map(abs, estimates)) * 1.5, _LEAST)
    low = max(min(lows, default=-_LEAST), min(estimates) - reach)
    high = min(max(highs, default=_LEAST), max(estimates) + reach)
    low, high = min(low, *estimates), max(high, *estimates)
    return (low, high) if high > low else (-_LEAST, _LEAST)


def _step_beyond(value: float) -> float:
    """The end of a compressed axis for a value: the next round number, 0 for none on that side."""
    if value <= 0:
        return 0.0
    return next((step for step in _ENDS if step >= value), value)


_ENDS: Final = tuple(digit * 10.0**power for power in range(-2, 5) for digit in (1, 2, 5))
