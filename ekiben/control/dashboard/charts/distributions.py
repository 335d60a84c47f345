"""Calibration of scores, differences of scores, and a few minutes of traffic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import altair as alt
from markupsafe import Markup

from ekiben.control.dashboard.charts.drawing import ACCENT, LINE, MUTED, WARN, ZERO, Rows, draw
from ekiben.experiments.reports.labels import CalibrationBin
from ekiben.experiments.reports.shadow import ScoreBin

_VARIANT_MARKS: Final = ((MUTED, "square"), (ACCENT, "circle"), (WARN, "triangle-up"))


@lru_cache(maxsize=64)
def calibration(
    variants: tuple[tuple[str, tuple[CalibrationBin, ...]], ...], several: bool = False, size: int = 280
) -> Markup:
    """How often the label was positive, by score, for each variant in their order; of `several` classes how
    often the most probable one was true, by its probability. The dashed diagonal is where a perfect score
    would lie. The control has grey squares, treatments have coloured marks.
    """
    rows = Rows()
    share = alt.Scale(domain=[0, 1], nice=False)
    ticks = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], domain=False, ticks=False)
    x = alt.X("x:Q", scale=share, axis=ticks.copy(), title="mean probability" if several else "mean score")
    y = alt.Y("y:Q", scale=share, axis=ticks.copy(), title="true classes" if several else "positive labels")
    diagonal = alt.Chart(rows([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    layers = [diagonal.mark_line(color=MUTED, strokeDash=[4, 4], strokeWidth=1).encode(x=x, y=y)]
    for place, (_, bins) in enumerate(variants):
        colour, shape = _VARIANT_MARKS[min(place, len(_VARIANT_MARKS) - 1)]
        data = [
            {
                "x": each.mean_score,
                "y": each.positive_rate,
                "low": each.interval.low or 0.0,
                "high": 1.0 if each.interval.high is None else each.interval.high,
            }
            for each in bins
            if each.count
        ]
        base = alt.Chart(rows(data))
        layers += [
            base.mark_rule(color=colour, strokeWidth=1.5, opacity=0.6).encode(
                x=x, y=alt.Y("low:Q", scale=share), y2="high:Q"
            ),
            base.mark_line(color=colour, strokeWidth=1.5).encode(x=x, y=y),
            base.mark_point(color=colour, filled=True, shape=shape, size=60, opacity=1).encode(x=x, y=y),
        ]
    return draw(layers, rows, name="calibration", size=(size, size))


@lru_cache(maxsize=64)
def differences(bins: tuple[ScoreBin, ...], width: int, several: bool = False) -> Markup:
    """How far the shadow's scores are from the served ones: a bar for each range of differences. Those of
    `several` scores have no sign.
    """
    rows = Rows()
    data = [{"low": each.low, "high": each.high, "count": each.count} for each in bins]
    chart = alt.Chart(rows(data)).mark_bar(color=ACCENT, opacity=0.85, binSpacing=1)
    x = alt.X(
        "low:Q",
        bin="binned",
        title="largest difference of an answer's scores"
        if several
        else "shadow's score minus the served one",
        axis=alt.Axis(format=".3~g" if several else "+.3~g", labelExpr=ZERO, grid=False, tickCount=5),
    )
    y = alt.Y("count:Q", title=None, axis=alt.Axis(format="~s", tickCount=3, domain=False, ticks=False))
    zero = alt.Chart(rows([{"zero": 0}])).mark_rule(color=MUTED, strokeWidth=1.5).encode(x="zero:Q")
    name = "band-wide" if width > 400 else "band-narrow"
    return draw([chart.encode(x=x, x2="high:Q", y=y), zero], rows, name=name, size=(width - 56, 130))


@lru_cache(maxsize=64)
def spark(values: tuple[float | None, ...], tone: str = ACCENT, width: int = 148, height: int = 30) -> Markup:
    """A line of values that are equally far apart, from 0 to their largest."""
    rows = Rows()
    data = [{"x": place, "y": value} for place, value in enumerate(values)]
    top = max((value for value in values if value is not None), default=0.0) or 1.0
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, max(1, len(values) - 1)], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, top * 1.1], nice=False))
    base = alt.Chart(rows(data)).encode(x=x, y=y)
    floor = alt.Chart(rows([{"y": 0}])).mark_rule(color=LINE).encode(y=y)
    layers = [
        base.mark_area(color=tone, opacity=0.15),
        floor,
        base.mark_line(color=tone, strokeWidth=1.5),
    ]
    return draw(layers, rows, name="spark", size=(width, height), bare=1)


def series(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Values in a form that a drawing can be remembered by: three digits of each are drawn anyway."""
    return tuple(None if value is None else float(f"{value:.3g}") for value in values)
