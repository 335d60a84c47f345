"""The two pictures of docs/statistics.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist

import altair as alt
import numpy as np

from ekiben.experiments.statistics import effects
from ekiben.experiments.statistics.effects import effect
from tests.proofs.statistics.agreement import moments_of
from tests.proofs.statistics.peeking import ALPHA, Seen

_IMAGES = Path(__file__).parents[3] / "docs" / "images"
_EVERY_LOOK, _ANY_TIME = "ordinary test at every look", "sequential test"
_COLOURS = alt.Scale(domain=[_EVERY_LOOK, _ANY_TIME], range=["#c2410c", "#1d4ed8"])


def false_alarms(seen: Mapping[str, Seen]) -> None:
    """The share of A/A experiments that were called different by each look."""
    found = seen["A/A mean, normal 50/50"]
    rows = [
        {"look": look + 1, "percent": 100 * count / found.experiments, "test": test}
        for test, counts in ((_EVERY_LOOK, found.naive), (_ANY_TIME, found.sequential))
        for look, count in enumerate(counts)
    ]
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("look:Q", title="looks, one after each 1 % of the users"),
            y=alt.Y("percent:Q", title="experiments with a false alarm so far, percent"),
            color=alt.Color("test:N", scale=_COLOURS, legend=alt.Legend(title=None, orient="top")),
        )
    )
    promised = (
        alt.Chart(alt.Data(values=[{"level": 100 * ALPHA}]))
        .mark_rule(strokeDash=[5, 4], color="#6b7280")
        .encode(y="level:Q")
    )
    _save(lines + promised, "statistics-false-alarms.svg")


def band(seed: int) -> None:
    """One experiment with an effect: its two intervals narrowing."""
    rng = np.random.default_rng((seed, 2))
    control, treatment = rng.normal(10, 15, 4000), rng.normal(11.5, 15, 4000)
    rows = []
    for users in range(100, 4001, 50):
        before, after = effects.mean(moments_of(control[:users])), effects.mean(moments_of(treatment[:users]))
        assert before is not None
        assert after is not None
        known = effect(before, after, ALPHA)
        width = NormalDist().inv_cdf(1 - ALPHA / 2) * np.hypot(before.std_error, after.std_error)
        value = after.value - before.value
        for test, low, high in (
            (_ANY_TIME, known.interval.low, known.interval.high),
            (_EVERY_LOOK, value - width, value + width),
        ):
            rows.append({"users": 2 * users, "low": low, "high": high, "effect": value, "test": test})
    chart = alt.Chart(alt.Data(values=rows))
    areas = chart.mark_area(opacity=0.25, clip=True).encode(
        x=alt.X("users:Q", title="users of both variants"),
        y=alt.Y("low:Q", title="effect; the true one is 1.5", scale=alt.Scale(domain=[-3, 6])),
        y2="high:Q",
        color=alt.Color("test:N", scale=_COLOURS, legend=alt.Legend(title=None, orient="top")),
    )
    line = chart.mark_line(color="#111827").encode(x="users:Q", y="effect:Q")
    zero = alt.Chart(alt.Data(values=[{"level": 0}])).mark_rule(strokeDash=[5, 4], color="#6b7280")
    _save(areas + line + zero.encode(y="level:Q"), "statistics-band.svg")


def _save(chart: alt.LayerChart, name: str) -> None:
    _IMAGES.mkdir(exist_ok=True)
    chart.properties(width=620, height=280, background="white").save(_IMAGES / name)
