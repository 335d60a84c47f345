"""What becomes of a chart on its way to the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from markupsafe import Markup

from ekiben.control.dashboard.charts import bands, cohorts, distributions, forest
from ekiben.experiments.reports.effect import CohortEffect, Interval, Point
from ekiben.experiments.reports.labels import CalibrationBin
from ekiben.experiments.reports.metric import State
from ekiben.experiments.reports.shadow import ScoreBin

UNKNOWN = Interval(None, None)
POINTS = tuple(
    Point(at=1e9 + 60 * look, users=10 * look, absolute=1.0, interval=Interval(1 - 9 / look, 1 + 9 / look))
    for look in range(1, 40)
)
BINS = (CalibrationBin(0.0, 0.5, 10, 0.2, 0.3, Interval(0.1, 0.5)),)
SEGMENTS = (
    cohorts.Row("<b>NL</b>", 1.0, Interval(0.2, 1.8), State.BETTER),
    cohorts.Row("(not sent)", -0.5, Interval(-90.0, None), State.UNCLEAR),
)
DAYS = tuple(
    CohortEffect(1e9 + day * 86_400, 1e9 + (day + 1) * 86_400, 400, 4.0 - day, Interval(3.0 - day, None))
    for day in range(5)
)
DRAWINGS = {
    "row": lambda: forest.row(0.1, Interval(-0.1, None), State.BETTER, forest.Axis(-0.2, 0.4), -0.05),
    "axis": lambda: forest.scale_of(forest.Axis(-0.5, 10.0, compressed=True)),
    "band": lambda: bands.band(POINTS, State.HOLDS, -2.0, percent=True, width=bands.WIDE),
    "calibration": lambda: distributions.calibration((("control", BINS), ("treatment", BINS))),
    "differences": lambda: distributions.differences((ScoreBin(-0.1, 0.0, 4), ScoreBin(0.0, 0.1, 0)), 640),
    "segments": lambda: cohorts.segments(SEGMENTS, 0.4, percent=True, width=bands.NARROW),
    "days": lambda: cohorts.days(DAYS, None, percent=False, width=bands.WIDE),
    "spark": lambda: distributions.spark((1.0, None, 3.0)),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_chart_is_well_formed_has_no_style_and_only_the_page_s_colours(name: str) -> None:
    svg: Markup = DRAWINGS[name]()
    root = ET.fromstring(svg)
    assert root.attrib["aria-hidden"] == "true"
    for element in root.iter():
        assert "style" not in element.attrib
        for attribute in ("fill", "stroke"):
            assert element.attrib.get(attribute, "none") in ("none", "transparent") or re.fullmatch(
                r"var\(--[a-z]+\)", element.attrib[attribute]
            )


def test_two_charts_on_one_page_share_no_id() -> None:
    other = bands.band(POINTS[:-1], State.HOLDS, -2.0, percent=True, width=bands.WIDE)
    first, second = (set(re.findall(r' id="([^"]+)"', svg)) for svg in (DRAWINGS["band"](), other))
    assert first
    assert not first & second


def test_the_shared_axis_holds_no_effect_and_every_estimate() -> None:
    axis = forest.shared_axis([(0.03, Interval(0.01, 0.05)), (-0.04, Interval(-0.08, 0.0)), (None, UNKNOWN)])
    assert axis.low <= -0.08
    assert axis.high >= 0.05
    assert not axis.compressed


def test_effects_of_very_different_sizes_stand_on_a_compressed_axis() -> None:
    axis = forest.shared_axis([(2.5, Interval(1.0, 9.0)), (0.03, Interval(-0.02, 0.08))])
    assert axis.compressed
    assert axis.low <= -0.02
    assert axis.high >= 2.5
    assert {0.0, 0.1, 2.0} <= set(axis.ticks)


def test_an_interval_without_an_end_is_cut_off_on_the_axis() -> None:
    axis = forest.shared_axis([(0.2, Interval(None, None))])
    assert axis.low <= 0.0
    assert 0.2 <= axis.high <= 1.0


def test_without_any_effect_there_is_still_an_axis() -> None:
    axis = forest.shared_axis([])
    assert axis.low < 0 < axis.high


def test_segments_stand_in_the_order_that_they_have() -> None:
    drawn = re.sub(r"<[^>]+>", "|", cohorts.segments(SEGMENTS, 0.4, percent=True, width=bands.WIDE))
    assert drawn.index("NL") < drawn.index("(not sent)")
