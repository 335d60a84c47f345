"""Dashboards as values, and as the JSON that Grafana reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_CHOICE: Final = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
_COLUMNS: Final = 24
_HEIGHT: Final = 8
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


@dataclass(frozen=True)
class Board:
    """A dashboard: the panels under each heading; the name of each variable and the query for its values."""

    uid: str
    title: str
    about: str
    rows: Mapping[str, Sequence[dict[str, Any]]]
    variables: Mapping[str, str]


def panel(
    title: str,
    *queries: tuple[str, str],
    unit: str = "short",
    about: str = "",
    kind: str = "timeseries",
    width: int = 8,
) -> dict[str, Any]:
    """A panel of pairs of PromQL and the name of its lines, such as `{{version}}`.

    `unit` is Grafana's: reqps, s, percentunit, short, bool, rows, …
    """
    return {
        "gridPos": {"w": width, "h": _HEIGHT},
        "type": kind,
        "title": title,
        "description": about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": _OPTIONS[kind],
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": promql,
                "legendFormat": legend,
                "instant": kind == "stat",
                "range": kind != "stat",
            }
            for place, (promql, legend) in enumerate(queries)
        ],
    }


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
        "templating": {"list": [_CHOICE, *(_variable(*each) for each in board.variables.items())]},
        "panels": _laid_out(board.rows),
    }


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


def _laid_out(rows: Mapping[str, Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    y = 0
    for title, panels in rows.items():
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        made.append(
            {"id": len(made) + 1, "type": "row", "title": title, "gridPos": place, "panels": []}
            | {"collapsed": False}
        )
        y += 1
        x = 0
        for each in panels:
            width = each["gridPos"]["w"]
            if x + width > _COLUMNS:
                x, y = 0, y + _HEIGHT
            made.append({"id": len(made) + 1, **each, "gridPos": {"x": x, "y": y, **each["gridPos"]}})
            x += width
        y += _HEIGHT
    return made
