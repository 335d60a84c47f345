"""From a chart to inline SVG whose colours are the page's CSS variables.

A colour of a chart is a placeholder that names a variable; it becomes `var(--name)` in the SVG, so that the
same drawing serves light and dark, and no style attribute is needed, which the page's policy would refuse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import vl_convert
from markupsafe import Markup

from ekiben.control.dashboard.words import STATES

_NAMES: Final = ("ink", "muted", "line", "accent", "good", "bad", "surface", "warn")
_PLACEHOLDERS: Final = tuple(f"#a1{place:04}" for place in range(len(_NAMES)))
INK, MUTED, LINE, ACCENT, GOOD, BAD, SURFACE, WARN = _PLACEHOLDERS
_VARIABLES: Final = dict(zip(_PLACEHOLDERS, _NAMES, strict=True))
_COLOUR: Final = re.compile("|".join(_VARIABLES))
_ATTRIBUTE: Final = re.compile(r' (?:style|role|class|aria-[a-z]+|font-family|pointer-events)="[^"]*"')
_IDENTIFIER: Final = re.compile(r"\b(clip|gradient_?)(\d+)\b")
_SIZE: Final = re.compile(
    r'<svg xmlns="[^"]*" xmlns:xlink="[^"]*" version="1.1" width="([\d.]+)" height="([\d.]+)"'
)

_COLOURS: Final = {"good": GOOD, "bad": BAD, "accent": ACCENT, "idle": MUTED, "warn": WARN}
TONES: Final = {state: _COLOURS[tone] for state, (_, tone) in STATES.items()}
"""The colour of what the evidence says; it always stands beside the word for it."""

ZERO: Final = "datum.value == 0 ? '0' : datum.label"
"""Labels of an axis with signs on which a zero has none."""

PADDING: Final = 26
"""Pixels left and right of rows that share an axis, so that its labels have room."""


class Rows:
    """The data of one chart. They stand beside it under names: Altair copies whatever stands within it, again
    and again."""

    def __init__(self) -> None:
        self.held: dict[str, Sequence[Mapping[str, object]]] = {}

    def __call__(self, values: Sequence[Mapping[str, object]]) -> alt.NamedData:
        """Data for a part of the chart."""
        name = f"d{len(self.held)}"
        self.held[name] = values
        return alt.NamedData(name=name)


def draw(
    layers: list[alt.Chart], rows: Rows, *, name: str, size: tuple[int, int], bare: int | None = None
) -> Markup:
    """The layers as SVG of the CSS class `chart-{name}`, hidden from screen readers: its text alternative
    stands beside it. `size` is the width and height between the axes in pixels; `bare` is for a chart without
    any, exactly as large as `size` but for so many pixels left and right."""
    spec: dict[str, Any] = {
        "$schema": alt.SCHEMA_URL,
        "config": _CONFIGURATION,
        "datasets": rows.held,
        # Put together here, since Altair would copy and check every layer for each of the others.
        "layer": [_layer(layer) for layer in layers],
        "width": size[0],
        "height": size[1],
    }
    if bare is not None:
        spec["padding"] = {"left": bare, "right": bare, "top": 0, "bottom": 0}
        spec["autosize"] = {"type": "none"}
    return dress(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]), name)


def _layer(chart: alt.Chart) -> dict[str, Any]:
    held: dict[str, Any] = chart.to_dict(validate=False)
    return {part: value for part, value in held.items() if part in ("data", "mark", "encoding")}


def dress(svg: str, name: str) -> Markup:
    """An SVG of Vega's without styles, with the page's colours, and with ids that are its own."""
    svg = _ATTRIBUTE.sub("", svg)
    own = hashlib.sha256(svg.encode()).hexdigest()[:10]
    svg = _IDENTIFIER.sub(rf"\1-{name}-{own}-\2", svg)
    svg = _COLOUR.sub(lambda found: f"var(--{_VARIABLES[found[0]]})", svg)
    opening = r'<svg class="chart-' + name + r'" aria-hidden="true" focusable="false" width="\1" height="\2"'
    # Made of numbers and of the placeholders above; the few names in it were escaped by Vega.
    return Markup(_SIZE.sub(opening, svg, count=1))  # noqa: S704


_CONFIGURATION: Final[dict[str, Any]] = {
    "aria": False,
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelPadding": 6,
        "tickSize": 4,
    },
}
