"""Dashboards as values, and as the JSON that Grafana reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True)
class Query:
    """One query and the name of its lines, such as `{{version}}`."""

    promql: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel. `unit` is Grafana's: reqps, s, percentunit, short, bool, rows, …"""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    about: str = ""
    kind: str = "timeseries"
    width: int = 8


@dataclass(frozen=True)
class Row:
    """A heading and the panels under it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """A dashboard. `variables`: the name of each and the query that gives its values, in order."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: Mapping[str, str]

    @property
    def panels(self) -> list[Panel]:
        """Every panel."""
        return [panel for row in self.rows for panel in row.panels]


def panel(
    title: str,
    *queries: tuple[str, str],
    unit: str = "short",
    about: str = "",
    kind: str = "timeseries",
    width: int = 8,
) -> Panel:
    """A panel of (PromQL, legend) pairs."""
    return Panel(title, tuple(Query(*each) for each in queries), unit, about, kind, width)


def as_json(board: Board) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.about,
        "tags": ["ekiben"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "Ekiben",
                "tags": ["ekiben"],
                "asDropdown": False,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_datasource(), *(_variable(*each) for each in board.variables.items())]},
        "panels": _laid_out(board.rows),
    }


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
    }


def _laid_out(rows: Sequence[Row]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        made.append(
            {"id": len(made) + 1, "type": "row", "title": row.title, "gridPos": place, "panels": []}
            | {"collapsed": False}
        )
        y += 1
        x = 0
        for each in row.panels:
            if x + each.width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            place = {"x": x, "y": y, "w": each.width, "h": _HEIGHT}
            made.append({"id": len(made) + 1, "gridPos": place, **_panel(each)})
            x += each.width
        y += _HEIGHT
    return made


def _panel(of: Panel) -> dict[str, Any]:
    return {
        "type": of.kind,
        "title": of.title,
        "description": of.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": of.unit, "min": 0}, "overrides": []},
        "options": _OPTIONS[of.kind],
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.promql,
                "legendFormat": query.legend,
                "instant": of.kind == "stat",
                "range": of.kind != "stat",
            }
            for place, query in enumerate(of.queries)
        ],
    }


_OPTIONS: Final[dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "none",
        "graphMode": "none",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value_and_name",
    },
}
