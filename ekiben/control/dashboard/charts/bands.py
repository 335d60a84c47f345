"""An effect over time, with the band that holds at every look."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import altair as alt
from markupsafe import Markup

from ekiben.control.dashboard.charts.drawing import BAD, INK, MUTED, TONES, ZERO, Rows, draw
from ekiben.experiments.reports.effect import Point
from ekiben.experiments.reports.metric import State

WIDE: Final = 780
NARROW: Final = 318
"""Two widths of every larger chart: the style sheet shows the one that fits."""
_MOST_POINTS: Final = 120


@lru_cache(maxsize=256)
def band(
    points: tuple[Point, ...], state: State, margin: float | None, *, percent: bool, width: int
) -> Markup:
    """An effect over time with its sequential band, no effect as a line, a guardrail's margin dashed.

    `percent` draws shares as percentage points. The first, very wide intervals are cut off."""
    rows = Rows()
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
    tone = TONES[state]
    base = alt.Chart(rows(data))
    layers: list[Any] = [
        base.mark_area(color=tone, opacity=0.18, clip=True).encode(x=x, y=y, y2="high:Q"),
        _level(rows, 0.0, vertical).mark_rule(color=MUTED, strokeWidth=1.5),
    ]
    if margin is not None:
        layers.append(
            _level(rows, margin * factor, vertical).mark_rule(color=BAD, strokeDash=[4, 3], clip=True)
        )
    for end in ("low", "high"):
        line = base.mark_line(color=tone, strokeWidth=1, opacity=0.7, clip=True)
        layers.append(line.encode(x=x, y=alt.Y(f"{end}:Q", scale=vertical)))
    line = base.mark_line(color=INK, strokeWidth=2, clip=True)
    layers.append(line.encode(x=x, y=alt.Y("middle:Q", scale=vertical)))
    last = alt.Chart(rows(data[-1:])).mark_point(filled=True, color=INK, size=50, opacity=1, clip=True)
    layers.append(last.encode(x=x, y=alt.Y("middle:Q", scale=vertical)))
    name = "band-wide" if width == WIDE else "band-narrow"
    return draw(layers, rows, name=name, size=(width - 64, 170))


def _level(rows: Rows, value: float, scale: alt.Scale) -> alt.Chart:
    return alt.Chart(rows([{"y": value}])).encode(y=alt.Y("y:Q", scale=scale))


def _thinned(points: tuple[Point, ...]) -> list[Point]:
    """At most `_MOST_POINTS` of them, the last one among them."""
    step = -(-len(points) // _MOST_POINTS)
    return list(points[::-1][::step])[::-1]


def _band_domain(points: list[Point], margin: float | None, factor: float) -> tuple[float, float]:
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
